//! What a controller may do that Samba does not do on demand, played by a server without security.

use std::sync::mpsc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::cursor::Usns;
use super::pages::{Made, Person, guid};
use super::*;
use crate::rpc::pdu;

const FLAGS: u32 = 0x2fff_ff6f;
const PASSWORD: [ReplicatedAttribute; 1] = [ReplicatedAttribute::UnicodePwd];

/// What the server does with a call.
enum Play {
    Answer(Vec<u8>),
    Fault(u32),
    OtherCall(Vec<u8>),
    Endless,
    Silence,
    Close,
}

/// A server that plays these one after the other; what it was asked comes out of the receiver.
async fn serve(plays: Vec<Play>) -> (Association, mpsc::Receiver<(u16, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, asked) = mpsc::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (head, _) = read(&mut stream).await.unwrap();
        write(&mut stream, pdu::BIND_ACK, 3, head.call, &agreement()).await;
        for play in plays {
            let Some((call, operation, stub)) = request(&mut stream).await else {
                return;
            };
            told.send((operation, stub)).unwrap();
            perform(&mut stream, call, play).await;
        }
    });
    let patience = Patience {
        connect: Duration::from_secs(10),
        call: Duration::from_secs(10),
    };
    let mut association = Association::connect("127.0.0.1", port, patience)
        .await
        .unwrap();
    association.bind(&bind::DRSUAPI, None).await.unwrap();
    (association, asked)
}

async fn perform(stream: &mut TcpStream, call: u32, play: Play) {
    match play {
        Play::Answer(stub) => answer(stream, call, &stub).await,
        Play::OtherCall(stub) => answer(stream, call + 1, &stub).await,
        Play::Fault(status) => {
            let mut body = vec![0; 8];
            body.extend(status.to_le_bytes());
            write(stream, pdu::FAULT, 3, call, &body).await;
        }
        Play::Endless => {
            let mut first = pdu::FIRST;
            while write(stream, pdu::RESPONSE, first, call, &[0; 4000]).await {
                first = 0;
            }
        }
        // Until the client goes away.
        Play::Silence => drop(read(stream).await),
        Play::Close => stream.shutdown().await.unwrap(),
    }
}

async fn answer(stream: &mut TcpStream, call: u32, stub: &[u8]) {
    let parts: Vec<&[u8]> = stub.chunks(100).collect();
    for (index, part) in parts.iter().enumerate() {
        let first = u8::from(index == 0) * pdu::FIRST;
        let last = u8::from(index + 1 == parts.len()) * pdu::LAST;
        let body = [&[0; 8], *part].concat();
        write(stream, pdu::RESPONSE, first | last, call, &body).await;
    }
}

fn agreement() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(5840u16.to_le_bytes());
    // So small that a request of ours has several fragments.
    body.extend(100u16.to_le_bytes());
    body.extend([0; 4 + 2 + 2]);
    body.extend([1, 0, 0, 0]);
    body.extend([0; 4 + 20]);
    body
}

async fn write(stream: &mut TcpStream, kind: u8, flags: u8, call: u32, body: &[u8]) -> bool {
    let length = (16 + body.len()) as u16;
    let mut bytes = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    bytes.extend(length.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(call.to_le_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await.is_ok()
}

async fn read(stream: &mut TcpStream) -> Option<(pdu::Head, Vec<u8>)> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await.ok()?;
    let head = pdu::Head::parse(&head).unwrap();
    let mut body = vec![0; head.fragment_bytes - 16];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

async fn request(stream: &mut TcpStream) -> Option<(u32, u16, Vec<u8>)> {
    let mut stub = Vec::new();
    loop {
        let (head, body) = read(stream).await?;
        assert_eq!(head.kind, pdu::REQUEST);
        assert_eq!(head.flags & pdu::FIRST != 0, stub.is_empty());
        stub.extend(&body[8..]);
        if head.flags & pdu::LAST != 0 {
            return Some((head.call, u16::from_le_bytes([body[6], body[7]]), stub));
        }
    }
}

async fn start(association: Association) -> Result<Replication, Error> {
    Replication::start(association, "DC=corp".to_owned()).await
}

fn bound() -> Play {
    Play::Answer(bind::tests::answer(FLAGS, 0, 0))
}

/// A replication whose controller plays these after the binding, and the questions it was asked.
async fn replication(plays: Vec<Play>) -> (Replication, mpsc::Receiver<(u16, Vec<u8>)>) {
    let all = [bound()].into_iter().chain(plays).collect();
    let (association, asked) = serve(all).await;
    let replication = start(association).await.unwrap();
    asked.recv().unwrap();
    (replication, asked)
}

fn page(made: &Made) -> Play {
    Play::Answer(made.bytes())
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> ReplicationProblem {
    match result {
        Err(Error::Replication(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn at(object: i64) -> Usns {
    Usns {
        object,
        ..Usns::default()
    }
}

fn cursor(invocation: u8, object: i64, vector: &[(u8, i64)]) -> ReplicationCursor {
    ReplicationCursor {
        invocation_id: guid(invocation),
        usns: at(object),
        up_to_date: vector.iter().map(|(id, usn)| (guid(*id), *usn)).collect(),
    }
}

#[tokio::test]
async fn the_epoch_of_a_renamed_domain_is_taken_over() {
    let answer = |epoch, code| Play::Answer(bind::tests::answer(FLAGS, epoch, code));
    let unbound = || Play::Answer(vec![0; 24]);
    let (association, asked) = serve(vec![answer(3, 0), unbound(), answer(3, 0)]).await;
    start(association).await.unwrap();
    let asked: Vec<_> = asked.try_iter().collect();
    let operations: Vec<_> = asked.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(operations, [bind::BIND, bind::UNBIND, bind::BIND]);
    assert_eq!(asked[2].1, bind::request(3));

    let (association, asked) = serve(vec![answer(4, 8593), answer(4, 0)]).await;
    start(association).await.unwrap();
    assert_eq!(asked.try_iter().nth(1).unwrap().1, bind::request(4));

    let (association, _asked) = serve(vec![answer(4, 8593), answer(5, 8593)]).await;
    let refused = problem(start(association).await);
    assert_eq!(refused, ReplicationProblem::OtherEpoch);
}

#[tokio::test]
async fn a_controller_that_cannot_do_what_is_needed_is_refused() {
    for missing in [bind::STRONG_ENCRYPTION, bind::GETCHGREQ_V8] {
        let answer = bind::tests::answer(FLAGS & !missing, 0, 0);
        let (association, _asked) = serve(vec![Play::Answer(answer)]).await;
        let refused = problem(start(association).await);
        assert!(matches!(refused, ReplicationProblem::TooOld { .. }));
    }
    for status in SIGN_IN_FAULTS {
        let (association, _asked) = serve(vec![Play::Fault(status)]).await;
        let refused = problem(start(association).await);
        assert_eq!(refused, ReplicationProblem::SignInRefused { status });
    }
}

#[tokio::test]
async fn a_circle_keeps_its_position_and_learns_at_its_end() {
    let first = Made {
        usns: at(10),
        vector: vec![(1, 99)],
        more: true,
        links: 2,
        ..Made::default()
    };
    let last = Made {
        usns: at(20),
        vector: vec![(1, 99), (2, 7)],
        ..Made::default()
    };
    let (mut replication, asked) = replication(vec![page(&first), page(&last)]).await;
    let start = ReplicationCursor::default();
    let one = replication.next_page(&start, &PASSWORD).await.unwrap();
    assert_eq!((one.more, one.link_values_skipped), (true, 2));
    assert_eq!(one.cursor, cursor(1, 10, &[]));
    let two = replication.next_page(&one.cursor, &PASSWORD).await.unwrap();
    assert!(!two.more);
    assert_eq!(two.cursor, cursor(1, 20, &[(1, 99), (2, 7)]));
    let stub = asked.try_iter().nth(1).unwrap().1;
    let target = Target::Changes("DC=corp", &one.cursor);
    let wanted = request::encode(&[9; 20], target, &PASSWORD, Prefixes::WithSchema);
    assert_eq!(stub, wanted);
}

#[tokio::test]
async fn at_another_controller_the_vector_decides() {
    let person = Person {
        guid: guid(5),
        rid: 1105,
        dn: "CN=x\\0ADEL:x",
        attributes: vec![(0x9_005a, Vec::new())],
    };
    let theirs = Made {
        invocation: 2,
        usns: at(3),
        vector: vec![(1, 40), (2, 3)],
        people: vec![person],
        ..Made::default()
    };
    let (mut replication, asked) = replication(vec![page(&theirs), page(&theirs)]).await;
    let ours = cursor(1, 50, &[(1, 40)]);
    let page = replication.next_page(&ours, &PASSWORD).await.unwrap();
    assert_eq!(page.cursor, cursor(2, 3, &[(1, 40), (2, 3)]));
    let [object] = page.objects.as_slice() else {
        panic!("{page:?}")
    };
    assert!(object.is_deleted && matches!(object.nt_hash, HashValue::Removed));
    assert!(object.nt_hash_changed.is_some());
    let stub = asked.try_iter().nth(1).unwrap().1;
    let without = ours.without_position();
    let target = Target::Changes("DC=corp", &without);
    let wanted = request::encode(&[9; 20], target, &PASSWORD, Prefixes::WithSchema);
    assert_eq!(stub, wanted);
}

#[tokio::test]
async fn circles_without_end_and_steps_back_are_noticed() {
    let same = Made {
        usns: at(10),
        more: true,
        ..Made::default()
    };
    let (mut first, _asked) = replication(vec![page(&same)]).await;
    let stuck = first.next_page(&cursor(1, 10, &[]), &PASSWORD).await;
    assert_eq!(problem(stuck), ReplicationProblem::NoProgress);

    let back = Made {
        usns: at(9),
        ..Made::default()
    };
    let less = Made {
        usns: at(10),
        vector: vec![(1, 39)],
        ..Made::default()
    };
    for made in [back, less] {
        let (mut replication, _asked) = replication(vec![page(&made)]).await;
        let result = replication
            .next_page(&cursor(1, 10, &[(1, 40)]), &PASSWORD)
            .await;
        assert_eq!(problem(result), ReplicationProblem::RolledBack);
    }

    let (mut replication, _asked) = replication(vec![page(&same)]).await;
    replication.pages = PAGES_MAX;
    let result = replication.next_page(&cursor(1, 1, &[]), &PASSWORD).await;
    let limit = PAGES_MAX;
    assert_eq!(problem(result), ReplicationProblem::TooManyPages { limit });
}

#[tokio::test]
async fn codes_are_read_wherever_they_stand() {
    let coded = |inner_code, code| {
        page(&Made {
            inner_code,
            code,
            ..Made::default()
        })
    };
    let start = ReplicationCursor::default();
    for play in [coded(0, 8456), coded(8456, 0)] {
        let (mut replication, _asked) = replication(vec![play]).await;
        let result = replication.next_page(&start, &PASSWORD).await;
        assert_eq!(problem(result), ReplicationProblem::SourceDisabled);
    }
    for (probe, right) in [
        (0, ReplicationRight::GetChangesAll),
        (8453, ReplicationRight::GetChanges),
    ] {
        let plays = vec![coded(0, 8453), coded(0, probe)];
        let (mut replication, _asked) = replication(plays).await;
        let result = replication.next_page(&start, &PASSWORD).await;
        let naming_context = "DC=corp".to_owned();
        let wanted = ReplicationProblem::MissingRight {
            right,
            naming_context,
        };
        assert_eq!(problem(result), wanted);
    }
    // Compressed, which nobody asked for.
    let compressed = [7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let (mut replication, _asked) = replication(vec![Play::Answer(compressed)]).await;
    let result = replication.next_page(&start, &PASSWORD).await;
    assert_eq!(
        problem(result),
        ReplicationProblem::ReplyVersion { version: 7 }
    );
}

#[tokio::test]
async fn a_refused_table_of_prefixes_is_replaced() {
    let refused = |code| {
        page(&Made {
            code,
            ..Made::default()
        })
    };
    let plays = vec![refused(87), refused(8418), page(&Made::default())];
    let (mut replication, asked) = replication(plays).await;
    let start = ReplicationCursor::default();
    replication.next_page(&start, &PASSWORD).await.unwrap();
    let last = asked.try_iter().nth(2).unwrap().1;
    let target = Target::Changes("DC=corp", &start);
    let wanted = request::encode(&[9; 20], target, &PASSWORD, Prefixes::Empty);
    assert_eq!(last, wanted);
    assert_eq!(replication.prefixes, Prefixes::Empty);
}

#[tokio::test]
async fn an_object_that_does_not_exist_is_none_and_one_that_is_refused_is_not() {
    let gone = |code, extended| {
        page(&Made {
            code,
            extended,
            ..Made::default()
        })
    };
    let plays = vec![
        gone(8333, 0),
        gone(8420, 2),
        gone(0, 1),
        gone(8438, 0),
        gone(0, 6),
        gone(0, 0),
    ];
    let (mut replication, asked) = replication(plays).await;
    for _ in 0..3 {
        let found = replication.one_object(guid(1), &PASSWORD).await.unwrap();
        assert!(found.is_none());
    }
    let busy = replication.one_object(guid(1), &PASSWORD).await;
    assert_eq!(problem(busy), ReplicationProblem::Busy);
    // To take this for an object without a password would leave its user without one.
    for code in [6, 0] {
        let refused = replication.one_object(guid(1), &PASSWORD).await;
        let wanted = ReplicationProblem::ObjectRefused { code };
        assert_eq!(problem(refused), wanted);
    }
    // Windows wants the destination of a single object to be something that exists.
    let (_, stub) = asked.try_iter().next().unwrap();
    let destination = stub.get(32..48).unwrap();
    assert_eq!(destination, bind::tests::SITE.as_bytes());
}

#[tokio::test]
async fn broken_associations_are_given_up() {
    let start = ReplicationCursor::default();
    let made = Made::default();
    for play in [
        Play::OtherCall(made.bytes()),
        Play::Fault(0x1c01_0014),
        Play::Close,
        Play::Endless,
    ] {
        let endless = matches!(play, Play::Endless);
        let (mut replication, _asked) = replication(vec![play, page(&made)]).await;
        let error = replication.next_page(&start, &PASSWORD).await.unwrap_err();
        assert_eq!(matches!(error, Error::TooMuch { .. }), endless, "{error}");
        let again = replication.next_page(&start, &PASSWORD).await.unwrap_err();
        assert!(matches!(again, Error::ConnectionLost { .. }), "{again}");
    }
}

#[tokio::test]
async fn a_silent_controller_does_not_hold_us_up() {
    let (mut replication, _asked) = replication(vec![Play::Silence]).await;
    replication.association.patience.call = Duration::from_millis(100);
    let start = ReplicationCursor::default();
    let error = replication.next_page(&start, &PASSWORD).await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
}
