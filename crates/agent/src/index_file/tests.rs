//! Who may open the file beside whom, and what is left when storing is given up.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::objects::RECORDS_PER_TRANSACTION;
use super::*;
use crate::engine::index::{Index, Place, Presence, Record};

const CURSOR: Cursor<'_> = Cursor {
    token: "token",
    cookie: b"cookie",
};
/// More than fit in two batches.
const MANY: usize = 2 * RECORDS_PER_TRANSACTION + 1;

async fn load(file: &IndexFile, token: &str) -> Option<Index> {
    let stored = Stored {
        file,
        binding: b"binding",
        token,
    };
    stored.load().await.unwrap()
}

async fn replace(file: &IndexFile, index: &mut Index) {
    let replaced = file.replace(index, b"binding", CURSOR, |_| {});
    replaced.await.unwrap();
}

fn record(dn: &str) -> Record {
    Record::container(Place {
        parent: None,
        dn,
        critical: false,
        presence: Presence::Seen,
    })
}

fn index(records: usize) -> Index {
    let guid = |at: usize| Guid::from_number(at as u128);
    Index::from_records((0..records).map(|at| (guid(at), record(&format!("OU={at}")))))
}

fn names(index: &Index) -> Vec<(Guid, String)> {
    index
        .iter()
        .map(|(guid, _)| (guid, index.dn(guid)))
        .collect()
}

/// Lets it run for this many batches and gives it up.
fn give_up(storing: impl Future<Output = Result<(), IndexFileError>>, batches: usize) {
    let mut storing = pin!(storing);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..batches {
        let polled = storing.as_mut().poll(&mut context);
        assert!(matches!(polled, Poll::Pending), "it had ended: {polled:?}");
    }
}

#[tokio::test]
async fn one_writes_and_others_look() {
    let directory = tempfile::tempdir().unwrap();
    assert!(IndexFile::look(directory.path()).is_none(), "nothing there");
    let file = IndexFile::open(directory.path()).unwrap();
    replace(&file, &mut Index::default()).await;
    let second = IndexFile::open(directory.path()).unwrap_err();
    assert!(matches!(second, IndexFileError::InUse(_)), "{second}");

    let looking = IndexFile::look(directory.path()).unwrap();
    assert!(load(&looking, "token").await.is_some());
    assert!(load(&looking, "another").await.is_none());
    file.begin_writing().unwrap();
    assert!(load(&looking, "token").await.is_none());
    let mut nothing = Index::default();
    let saved = file.save(&mut nothing, CURSOR, |_| {});
    saved.await.unwrap();
    assert_eq!(looking.cookie().unwrap().as_deref(), Some(&b"cookie"[..]));
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    replace(&file, &mut Index::default()).await;
    drop(file);
    let path = directory.path().join(FILE);
    let before = std::fs::read(&path).unwrap();
    let looking = IndexFile::look(directory.path()).unwrap();
    looking.begin_writing().unwrap();
    let entry = BTreeMap::from([("groups staff".to_owned(), Guid::from_number(1))]);
    looking.set_filter_entries(&entry).unwrap();
    assert!(load(&looking, "token").await.is_some());
    drop(looking);
    assert!(std::fs::read(&path).unwrap() == before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join(DAMAGED_FILE);
    for damage in ["nonsense", "other nonsense"] {
        std::fs::write(directory.path().join(FILE), damage.repeat(10_000)).unwrap();
        let file = IndexFile::open(directory.path()).unwrap();
        assert!(load(&file, "token").await.is_none());
        replace(&file, &mut Index::default()).await;
        drop(file);
        assert!(std::fs::read_to_string(&kept).unwrap().starts_with(damage));
        let file = IndexFile::open(directory.path()).unwrap();
        assert!(load(&file, "token").await.is_some());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn an_index_of_which_a_record_cannot_be_read_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    replace(&file, &mut Index::default()).await;
    let key = [7; 16];
    file.write(|tx| {
        let mut objects = tx.open_table(OBJECTS)?;
        objects.insert(key.as_slice(), b"\xff".as_slice())?;
        Ok(())
    })
    .unwrap();
    assert!(load(&file, "token").await.is_none());
    let stored = Stored {
        file: &file,
        binding: b"binding",
        token: "token",
    };
    let memory = stored.memory(&Index::default()).await;
    assert!(memory.unwrap().is_none());
}

#[tokio::test]
async fn a_session_of_somebody_else_ends_what_the_file_covers() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    let covers = async || load(&file, "token").await.is_some();
    let filled = async || replace(&file, &mut Index::default()).await;
    // A file from before sessions were noted says nothing about who wrote since.
    filled().await;
    file.begin_session("s1", None).unwrap();
    assert!(!covers().await);
    filled().await;
    file.begin_session("s2", Some("s1")).unwrap();
    file.begin_session("s3", Some("s2")).unwrap();
    assert!(covers().await, "nobody else had a session");
    for previous in [Some("other"), Some("s2"), None] {
        filled().await;
        file.begin_session("s4", previous).unwrap();
        assert!(!covers().await, "{previous:?}");
        // Nor does it cover anything later, when the run that had to compare everything died.
        file.begin_session("s5", Some("s4")).unwrap();
        assert!(!covers().await, "{previous:?}");
        file.begin_session("s3", Some("s5")).unwrap();
    }
}

#[tokio::test]
async fn what_is_stored_in_batches_comes_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    let mut index = index(MANY);
    let mut told = 0;
    let replaced = file.replace(&mut index, b"binding", CURSOR, |number| told += number);
    replaced.await.unwrap();
    assert_eq!(told, MANY);
    let found = load(&file, "token").await.unwrap();
    assert_eq!(names(&found), names(&index));
}

#[tokio::test]
async fn a_storing_that_is_given_up_leaves_no_index() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    replace(&file, &mut index(3)).await;
    for batches in 1..=2 {
        let mut many = index(MANY);
        give_up(file.replace(&mut many, b"binding", CURSOR, |_| {}), batches);
        assert!(load(&file, "token").await.is_none(), "{batches}");
    }
    // Opened anew, as by the next start.
    drop(file);
    let file = IndexFile::open(directory.path()).unwrap();
    assert!(load(&file, "token").await.is_none());
    replace(&file, &mut index(3)).await;
    let found = load(&file, "token").await.unwrap();
    assert_eq!(names(&found), names(&index(3)));
}

#[tokio::test]
async fn many_changes_are_stored_in_batches_and_given_up_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = IndexFile::open(directory.path()).unwrap();
    let mut known = index(MANY);
    replace(&file, &mut known).await;
    let guids: Vec<Guid> = known.iter().map(|(guid, _)| guid).collect();
    let mut changed = Index::from_records([]);
    for guid in &guids {
        changed.load(*guid, record("OU=changed"));
    }
    let mapping = crate::engine::mapping::Mapping::new("corp.example", None);
    // Each of them is gone from the directory, and the hub never had it.
    let lose = |index: &mut Index| {
        for guid in guids.iter().skip(1) {
            index.apply(crate::engine::object::Change::Missing(*guid), &mapping);
        }
    };
    lose(&mut changed);
    give_up(file.save(&mut changed, CURSOR, |_| {}), 1);
    assert!(load(&file, "token").await.is_none());

    lose(&mut known);
    let mut told = 0;
    let saved = file.save(&mut known, CURSOR, |number| told += number);
    saved.await.unwrap();
    assert_eq!(told, MANY - 1);
    let found = load(&file, "token").await.unwrap();
    assert_eq!(names(&found), names(&known));
    assert_eq!(found.len(), 1);
}
