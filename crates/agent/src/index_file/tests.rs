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
