//! Who may open the file beside whom.

use super::*;

const CURSOR: Cursor<'_> = Cursor {
    token: "token",
    cookie: b"cookie",
};

#[test]
fn one_writes_and_others_look() {
    let directory = tempfile::tempdir().unwrap();
    assert!(IndexFile::look(directory.path()).is_none(), "nothing there");
    let file = IndexFile::open(directory.path()).unwrap();
    file.replace(&mut Index::default(), b"binding", CURSOR)
        .unwrap();
    let second = IndexFile::open(directory.path()).unwrap_err();
    assert!(matches!(second, IndexFileError::InUse(_)), "{second}");

    let looking = IndexFile::look(directory.path()).unwrap();
    assert!(looking.load(b"binding", "token").unwrap().is_some());
    assert!(looking.load(b"binding", "another").unwrap().is_none());
    file.begin_writing().unwrap();
    assert!(looking.load(b"binding", "token").unwrap().is_none());
    file.save(&mut Index::default(), CURSOR).unwrap();
    assert_eq!(looking.cookie().unwrap().as_deref(), Some(&b"cookie"[..]));
}

#[test]
fn a_look_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    file.replace(&mut Index::default(), b"binding", CURSOR)
        .unwrap();
    drop(file);
    let path = directory.path().join(FILE);
    let before = std::fs::read(&path).unwrap();
    let looking = IndexFile::look(directory.path()).unwrap();
    looking.begin_writing().unwrap();
    let entry = BTreeMap::from([("groups staff".to_owned(), Guid::from_number(1))]);
    looking.set_filter_entries(&entry).unwrap();
    assert!(looking.load(b"binding", "token").unwrap().is_some());
    drop(looking);
    assert!(std::fs::read(&path).unwrap() == before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join(DAMAGED_FILE);
    for damage in ["nonsense", "other nonsense"] {
        std::fs::write(directory.path().join(FILE), damage.repeat(10_000)).unwrap();
        let file = IndexFile::open(directory.path()).unwrap();
        assert!(file.load(b"binding", "token").unwrap().is_none());
        file.replace(&mut Index::default(), b"binding", CURSOR)
            .unwrap();
        drop(file);
        assert!(std::fs::read_to_string(&kept).unwrap().starts_with(damage));
        let file = IndexFile::open(directory.path()).unwrap();
        assert!(file.load(b"binding", "token").unwrap().is_some());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn an_index_of_which_a_record_cannot_be_read_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    file.replace(&mut Index::default(), b"binding", CURSOR)
        .unwrap();
    let key = [7; 16];
    file.write(|tx| {
        let mut objects = tx.open_table(OBJECTS)?;
        objects.insert(key.as_slice(), b"\xff".as_slice())?;
        Ok(())
    })
    .unwrap();
    assert!(file.load(b"binding", "token").unwrap().is_none());
    let memory = file.memory(b"binding", "token", &Index::default());
    assert!(memory.unwrap().is_none());
}

#[test]
fn a_session_of_somebody_else_ends_what_the_file_covers() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    let covers = |file: &IndexFile| file.load(b"binding", "token").unwrap().is_some();
    let filled = || {
        let cursor = CURSOR;
        file.replace(&mut Index::default(), b"binding", cursor)
            .unwrap();
    };
    // A file from before sessions were noted says nothing about who wrote since.
    filled();
    file.begin_session("s1", None).unwrap();
    assert!(!covers(&file));
    filled();
    file.begin_session("s2", Some("s1")).unwrap();
    file.begin_session("s3", Some("s2")).unwrap();
    assert!(covers(&file), "nobody else had a session");
    for previous in [Some("other"), Some("s2"), None] {
        filled();
        file.begin_session("s4", previous).unwrap();
        assert!(!covers(&file), "{previous:?}");
        // Nor does it cover anything later, when the run that had to compare everything died.
        file.begin_session("s5", Some("s4")).unwrap();
        assert!(!covers(&file), "{previous:?}");
        file.begin_session("s3", Some("s5")).unwrap();
    }
}
