//! The client against a scripted server: pages, ranges, and every way an answer can break off.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "scripted/server.rs"]
mod server;

use std::time::Duration;

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapBindResponse, LdapExtendedResponse, LdapFilter, LdapMsg, LdapOp, LdapResult,
    LdapResultCode, LdapSearchRequest, LdapSearchResultReference,
};
use rollcall_directory::{
    Access, Base, Bind, BindProblem, Change, Connection, Cookie, DirSyncEvent, DirSyncRequest,
    Error, Filter, MemberDetail, Options, SearchRequest,
};
use rollcall_kit::secret::SecretString;
use server::{Action, Server, dirsync_done, done, page_done, person, result, success};

fn request() -> DirSyncRequest {
    DirSyncRequest {
        base: "DC=corp".parse().unwrap(),
        filter: Filter::any_object(),
        attributes: vec!["displayName".into(), "member".into()],
        cookie: None,
        access: Access::Replication,
        members: MemberDetail::Incremental,
    }
}

fn search_request() -> SearchRequest {
    SearchRequest {
        page_size: 2,
        ..SearchRequest::subtree(
            Base::Dn("DC=corp".parse().unwrap()),
            Filter::any_object(),
            &["name"],
        )
    }
}

fn search_of(message: &LdapMsg) -> &LdapSearchRequest {
    match &message.op {
        LdapOp::SearchRequest(search) => search,
        other => panic!("{other:?}"),
    }
}

/// Flags and cookie of a DirSync request.
fn dirsync_of(message: &LdapMsg) -> (i64, Vec<u8>) {
    let position = message.ctrl.iter().find_map(|control| match control {
        LdapControl::AdDirsync { flags, cookie, .. } => {
            Some((*flags, cookie.clone().unwrap_or_default()))
        }
        _ => None,
    });
    position.unwrap()
}

fn number(change: &Change) -> u8 {
    change.entry.guid.as_bytes()[0]
}

#[tokio::test]
async fn dirsync_goes_on_while_the_server_says_more() {
    let server = Server::start(|request| match dirsync_of(request).1.as_slice() {
        b"" => vec![person(1), person(2), dirsync_done(1, b"one")],
        b"one" => vec![dirsync_done(1, b"two")],
        b"two" => vec![person(3), dirsync_done(0, b"end")],
        other => panic!("{other:?}"),
    })
    .await;
    let mut connection = server.connect().await;
    let mut read = connection.dirsync(request()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = read.next().await.unwrap() {
        seen.push(match event {
            DirSyncEvent::Change(change) => number(&change).to_string(),
            DirSyncEvent::Page(cookie) => format!("page {}", text(&cookie)),
            DirSyncEvent::Complete(cookie) => format!("complete {}", text(&cookie)),
        });
    }
    assert_eq!(
        seen,
        ["1", "2", "page one", "page two", "3", "complete end"]
    );

    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    for request in requests.iter() {
        // Ancestors first and single values. The codec of the server reads it without its sign;
        // how it is on the wire is tested beside the control.
        assert_eq!(dirsync_of(request).0 & 0xffff_ffff, 0x8000_0800);
        assert!(request.ctrl.iter().any(|control| {
            matches!(
                control,
                LdapControl::ExtendedDn {
                    criticality: true,
                    format: 1
                }
            )
        }));
    }
}

fn text(cookie: &Cookie) -> String {
    String::from_utf8(cookie.as_bytes().to_vec()).unwrap()
}

/// What happens, what the server does, and which error it must become.
type Interruption = (&'static str, Vec<Action>, fn(&Error) -> bool);

/// Everything that can follow instead of the end of an answer.
fn interruptions() -> Vec<Interruption> {
    use LdapResultCode as Code;
    let refused = |code| vec![done(result(code, "as the script says"))];
    let referral = LdapResult {
        referral: vec!["ldaps://other.corp".into()],
        ..result(Code::Referral, "")
    };
    let cut_message = vec![0x30, 0x50, 2, 1, 2, 0x64];
    let notice = [
        &[0x30, 36, 2, 1, 0, 0x78, 31, 10, 1, 52, 4, 0, 4, 0, 0x8a, 22][..],
        b"1.3.6.1.4.1.1466.20036",
    ]
    .concat();
    let lost: fn(&Error) -> bool = |error| matches!(error, Error::ConnectionLost { .. });
    let busy: fn(&Error) -> bool = |error| matches!(error, Error::Busy { .. });
    let limit: fn(&Error) -> bool = |error| matches!(error, Error::ServerLimit { .. });
    let protocol: fn(&Error) -> bool = |error| matches!(error, Error::Protocol(_));
    vec![
        ("closed", vec![Action::Close], lost),
        (
            "cut in a message",
            vec![Action::Bytes(cut_message), Action::Close],
            lost,
        ),
        ("busy", refused(Code::Busy), busy),
        ("unavailable", refused(Code::Unavailable), busy),
        ("time limit", refused(Code::TimeLimitExceeded), limit),
        ("size limit", refused(Code::SizeLimitExceeded), limit),
        (
            "administrator's limit",
            refused(Code::AdminLimitExceeded),
            limit,
        ),
        (
            "no right",
            refused(Code::InsufficentAccessRights),
            |error| matches!(error, Error::RightsMissing { .. }),
        ),
        ("other", refused(Code::Other), |error| {
            matches!(error, Error::Refused { code: 80, .. })
        }),
        (
            "referral",
            vec![done(referral)],
            |error| matches!(error, Error::Referral { to } if to == "ldaps://other.corp"),
        ),
        ("notice of disconnection", vec![Action::Bytes(notice)], busy),
        (
            "not LDAP",
            vec![Action::Bytes(b"HTTP/1.1 400 Bad Request\r\n".to_vec())],
            protocol,
        ),
        (
            "malformed",
            vec![Action::Bytes(vec![0x30, 4, 2, 1, 2, 0x64])],
            protocol,
        ),
        (
            "another kind of answer",
            vec![Action::Say(LdapOp::ModifyResponse(success()), vec![])],
            protocol,
        ),
        (
            "too large",
            vec![Action::Bytes(vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff])],
            |error| matches!(error, Error::TooMuch { .. }),
        ),
    ]
}

#[tokio::test]
async fn an_interrupted_dirsync_is_never_complete() {
    for (name, interruption, expected) in interruptions() {
        for pages_before in [0, 1] {
            let script = interruption.clone();
            let mut page = 0;
            let server = Server::start(move |_| {
                page += 1;
                let mut actions = vec![person(page)];
                if page > pages_before {
                    actions.extend(script.clone());
                } else {
                    actions.push(dirsync_done(1, &[page]));
                }
                actions
            })
            .await;
            let mut connection = server.connect().await;
            let mut read = connection.dirsync(request()).await.unwrap();
            let error = loop {
                match read.next().await {
                    Ok(Some(DirSyncEvent::Complete(_)) | None) => panic!("{name}: complete"),
                    Ok(Some(_)) => {}
                    Err(error) => break error,
                }
            };
            assert!(expected(&error), "{name}: {error}");
            assert!(read.next().await.is_err(), "{name}: later");
        }
    }
}

#[tokio::test]
async fn an_interrupted_search_is_never_complete() {
    for (name, interruption, expected) in interruptions() {
        for pages_before in [0, 1] {
            let script = interruption.clone();
            let mut page = 0;
            let server = Server::start(move |_| {
                page += 1;
                let mut actions = vec![person(page)];
                if page > pages_before {
                    actions.extend(script.clone());
                } else {
                    actions.push(page_done(&[page]));
                }
                actions
            })
            .await;
            let mut connection = server.connect().await;
            let mut search = connection.search(search_request()).await.unwrap();
            let error = loop {
                match search.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{name}: complete"),
                    Err(error) => break error,
                }
            };
            assert!(expected(&error), "{name}: {error}");
            assert!(search.next().await.is_err(), "{name}: later");
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start(|_| vec![person(1)]).await;
    let options = Options {
        answer_timeout: Duration::from_millis(50),
        ..server.options()
    };
    let mut connection = Connection::open(&options).await.unwrap();
    let mut read = connection.dirsync(request()).await.unwrap();
    read.next().await.unwrap();
    let error = read.next().await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(error.is_transient());
    assert!(read.next().await.is_err());
    // A late answer must not be taken for that of a later request.
    assert!(connection.whoami().await.is_err());
}

#[tokio::test]
async fn positions_that_lead_nowhere_end_the_read() {
    let server = Server::start(|_| vec![dirsync_done(1, b"same")]).await;
    let mut connection = server.connect().await;
    let mut read = connection.dirsync(request()).await.unwrap();
    assert!(matches!(read.next().await, Ok(Some(DirSyncEvent::Page(_)))));
    assert!(matches!(read.next().await, Err(Error::Protocol(_))));

    let server = Server::start(|_| vec![person(1), done(success())]).await;
    let mut connection = server.connect().await;
    let mut read = connection.dirsync(request()).await.unwrap();
    read.next().await.unwrap();
    assert!(
        matches!(read.next().await, Err(Error::Protocol(_))),
        "success without a position"
    );
}

#[tokio::test]
async fn pages_of_a_search_are_put_together_and_references_skipped() {
    let server = Server::start(|message| {
        let cookie = message.ctrl.iter().find_map(|control| match control {
            LdapControl::SimplePagedResults { size: 2, cookie } => Some(cookie.clone()),
            _ => None,
        });
        let reference = LdapOp::SearchResultReference(LdapSearchResultReference {
            uris: vec!["ldaps://corp/CN=Configuration,DC=corp".into()],
        });
        match cookie.unwrap().as_slice() {
            b"" => vec![person(1), person(2), page_done(b"one")],
            b"one" => vec![page_done(b"two")],
            b"two" => vec![person(3), Action::Say(reference, vec![]), page_done(b"")],
            other => panic!("{other:?}"),
        }
    })
    .await;
    let mut connection = server.connect().await;
    let found = connection
        .search(search_request())
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let numbers: Vec<u8> = found.iter().map(|entry| entry.guid.as_bytes()[0]).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// More references than a read puts up with, then an end.
async fn referring_for_ever() -> Server {
    Server::start(|_| {
        let reference = LdapSearchResultReference {
            uris: vec!["ldaps://corp/CN=Configuration,DC=corp".into()],
        };
        let say = || Action::Say(LdapOp::SearchResultReference(reference.clone()), vec![]);
        let mut actions: Vec<Action> = (0..10_001).map(|_| say()).collect();
        actions.push(page_done(b""));
        actions
    })
    .await
}

#[tokio::test]
async fn answers_without_an_object_do_not_go_on_for_ever() {
    let server = referring_for_ever().await;
    let mut connection = server.connect().await;
    let mut search = connection.search(search_request()).await.unwrap();
    let error = search.next().await.unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
    let server = referring_for_ever().await;
    let mut connection = server.connect().await;
    let mut read = connection.dirsync(request()).await.unwrap();
    let error = read.next().await.unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn requests_mean_the_same_to_an_independent_codec() {
    let server = Server::start(|_| vec![page_done(b"")]).await;
    let mut connection = server.connect().await;
    let text = "(&(objectClass=user)(|(mail=a*b*c)(uSNChanged>=7))(!(cn=\\28x\\29)))";
    let request = SearchRequest::subtree(
        Base::Dn("OU=Отдел,DC=corp".parse().unwrap()),
        text.parse().unwrap(),
        &["name", "Ünusual"],
    );
    connection
        .search(request)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let requests = server.requests.lock().unwrap();
    let search = search_of(&requests[0]);
    assert_eq!(search.base, "OU=Отдел,DC=corp");
    let LdapFilter::And(parts) = &search.filter else {
        panic!("{:?}", search.filter)
    };
    assert_eq!(
        parts[0],
        LdapFilter::Equality("objectClass".into(), "user".into())
    );
    let LdapFilter::Or(alternatives) = &parts[1] else {
        panic!("{:?}", parts[1])
    };
    let LdapFilter::Substring(attribute, parts_of_mail) = &alternatives[0] else {
        panic!("{:?}", alternatives[0])
    };
    assert_eq!(attribute, "mail");
    assert_eq!(parts_of_mail.initial.as_deref(), Some("a"));
    assert_eq!(
        (
            parts_of_mail.any.as_slice(),
            parts_of_mail.final_.as_deref()
        ),
        (&["b".into()][..], Some("c"))
    );
    assert_eq!(
        alternatives[1],
        LdapFilter::GreaterOrEqual("uSNChanged".into(), "7".into())
    );
    let not = LdapFilter::Not(Box::new(LdapFilter::Equality("cn".into(), "(x)".into())));
    assert_eq!(parts[2], not);
    assert_eq!(search.attrs[..2], ["name", "Ünusual"]);
    assert!(search.attrs.iter().any(|name| name == "objectGUID"));
}

#[tokio::test]
async fn refused_accounts_and_identities() {
    let bind = |text: &'static str| {
        move |_: &LdapMsg| {
            let response = LdapBindResponse {
                res: result(LdapResultCode::InvalidCredentials, text),
                saslcreds: None,
            };
            vec![Action::Say(LdapOp::BindResponse(response), vec![])]
        }
    };
    for (text, expected) in [
        (
            "80090308: LdapErr: DSID-0C09, comment: x, data 532, v1",
            BindProblem::PasswordExpired,
        ),
        (
            "80090308: LdapErr: DSID-0C09, comment: x, data 773, v1",
            BindProblem::MustChangePassword,
        ),
        (
            "80090308: LdapErr: DSID-0C09, comment: x, data 530, v1",
            BindProblem::LogonRestricted,
        ),
        ("no", BindProblem::Other("no".into())),
    ] {
        let server = Server::start(bind(text)).await;
        let options = Options {
            bind: Bind::Simple {
                account: "CN=svc,DC=corp".into(),
                password: SecretString::new("hidden-password".into()),
            },
            ..server.options()
        };
        let error = Connection::open(&options).await.unwrap_err();
        assert!(!error.to_string().contains("hidden-password"));
        match error {
            Error::BindRefused { account, problem } => {
                assert_eq!((account.as_str(), problem), ("CN=svc,DC=corp", expected));
            }
            other => panic!("{other}"),
        }
        // The password of several lengths arrived as it is.
        let requests = server.requests.lock().unwrap();
        let LdapOp::BindRequest(request) = &requests[0].op else {
            panic!("{requests:?}")
        };
        assert_eq!(
            (request.version, request.dn.as_str()),
            (3, "CN=svc,DC=corp")
        );
        let sent = ldap3_proto::proto::LdapBindCred::Simple("hidden-password".into());
        assert!(request.cred == sent);
    }

    let server = Server::start(|_| {
        let response = LdapExtendedResponse {
            res: success(),
            name: None,
            value: Some(b"u:CORP\\svc".to_vec()),
        };
        vec![Action::Say(LdapOp::ExtendedResponse(response), vec![])]
    })
    .await;
    let mut connection = server.connect().await;
    assert_eq!(
        connection.whoami().await.unwrap().as_deref(),
        Some("u:CORP\\svc")
    );
}
