//! The values of a request: from the query, from the body, good and bad.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::recorder::{Recorder, check, check_invalid};

#[test]
fn a_query_fills_every_kind_of_field() {
    let echo = Recorder::of_file("echo.proto");
    let cases = [
        ("boolValue=true", json!({"boolValue": true})),
        ("bool_value=true", json!({"boolValue": true})),
        (
            "int64Value=-9223372036854775808",
            json!({"int64Value": "-9223372036854775808"}),
        ),
        (
            "uint64_value=18446744073709551615",
            json!({"uint64Value": "18446744073709551615"}),
        ),
        ("doubleValue=1.5", json!({"doubleValue": 1.5})),
        ("floatValue=-Infinity", json!({"floatValue": "-Infinity"})),
        ("stringValue=a+b%2Bc%26", json!({"stringValue": "a b+c&"})),
        ("stringValue=%D0%B8", json!({"stringValue": "и"})),
        ("bytesValue=_-8", json!({"bytesValue": "/+8="})),
        ("color=GREEN", json!({"color": "GREEN"})),
        ("color=2", json!({"color": "GREEN"})),
        ("colors=RED&colors=2", json!({"colors": ["RED", "GREEN"]})),
        (
            "strings=b&strings=a&strings=",
            json!({"strings": ["b", "a", ""]}),
        ),
        (
            "inner.name=n&inner.numbers=1&inner.numbers=2",
            json!({"inner": {"name": "n", "numbers": ["1", "2"]}}),
        ),
        (
            "inner.inner.inner.name=deep",
            json!({"inner": {"inner": {"inner": {"name": "deep"}}}}),
        ),
        (
            "at=2026-01-31T12:00:00.5%2B03:00",
            json!({"at": "2026-01-31T09:00:00.500Z"}),
        ),
        ("wait=900s", json!({"wait": "900s"})),
        (
            "updateMask=displayName,filter.domain,page_size",
            json!({"updateMask": "displayName,filter.domain,pageSize"}),
        ),
        ("maybe=false", json!({"maybe": false})),
        ("text=t", json!({"text": "t"})),
        (
            "nothing=1&stringValue=a&alsoNothing",
            json!({"stringValue": "a"}),
        ),
        ("&&stringValue=a&", json!({"stringValue": "a"})),
    ];
    for (query, message) in cases {
        let address = format!("/v1/say?{query}");
        check(
            &echo,
            "GET",
            &address,
            "",
            "/rollcall.test.Echo/Say",
            message,
        );
    }
}

#[test]
fn a_bad_query_names_its_field() {
    let echo = Recorder::of_file("echo.proto");
    let cases = [
        ("boolValue=yes", "bool_value"),
        ("int32Value=2147483648", "int32_value"),
        ("uint32Value=-1", "uint32_value"),
        ("int64Value=", "int64_value"),
        ("doubleValue=1e999", "double_value"),
        ("color=BLUE", "color"),
        ("inner=x", "inner"),
        ("inner.numbers=x", "inner.numbers"),
        ("counts=1", "counts"),
        ("at=yesterday", "at"),
        ("wait=soon", "wait"),
        ("updateMask=a%20b", "update_mask"),
        ("updateMask=_a", "update_mask"),
        ("bytesValue=%3F%3F", "bytes_value"),
        ("stringValue=a&string_value=b", "string_value"),
        ("inner.name=a&inner.name=b", "inner.name"),
        ("text=a&message.name=b", "message.name"),
        ("stringValue=%zz", "string_value"),
        ("stringValue=%ff", "string_value"),
        ("%zz=1", ""),
    ];
    for (query, field) in cases {
        check_invalid(&echo, "GET", &format!("/v1/say?{query}"), "", field);
    }
    check_invalid(
        &echo,
        "GET",
        "/v1/things/a?stringValue=b",
        "",
        "string_value",
    );
    check_invalid(&echo, "PUT", "/v1/n/say/seven", "", "int32_value");
    check_invalid(
        &echo,
        "POST",
        "/v1/say?stringValue=b",
        r#"{"stringValue":"a"}"#,
        "string_value",
    );
    check_invalid(&echo, "GET", "/v1/say?message.name=b&text=a", "", "text");
    check_invalid(
        &echo,
        "GET",
        &format!("/v1/say?{}", "a=1&".repeat(501)),
        "",
        "",
    );
}

#[test]
fn a_body_fills_every_kind_of_field() {
    let echo = Recorder::of_file("echo.proto");
    let same = [
        json!({"boolValue": true, "int32Value": -1, "uint32Value": 1, "stringValue": "и"}),
        json!({"int64Value": "9223372036854775807", "uint64Value": "1", "bytesValue": "/+8="}),
        json!({"floatValue": 1.5, "doubleValue": "NaN", "color": "RED", "colors": ["RED", "GREEN"]}),
        json!({"inner": {"name": "n", "numbers": ["1"], "inner": {"name": "m"}}}),
        json!({"inners": [{}, {"name": "b"}], "strings": ["", "a"]}),
        json!({"counts": {"a": "1", "": "2"}, "byNumber": {"-3": {"name": "n"}}}),
        json!({"text": ""}),
        json!({"message": {}}),
        json!({"at": "2026-01-31T12:00:00Z", "wait": "1.500s", "updateMask": "displayName,a.bC", "maybe": false}),
        json!({"any": {"@type": "type.googleapis.com/rollcall.test.Inner", "name": "n"}}),
        json!({"free": {"a": [1.0, null, "b"]}, "anything": null}),
    ];
    for message in same {
        check(
            &echo,
            "POST",
            "/v1/say",
            &message.to_string(),
            "/rollcall.test.Echo/Say",
            message,
        );
    }
    let other = [
        (
            r#"{"string_value":"a","int64_value":5}"#,
            json!({"stringValue": "a", "int64Value": "5"}),
        ),
        (
            r#"{"int32Value":"5","uint64Value":1e3,"doubleValue":"2.5"}"#,
            json!({"int32Value": 5, "uint64Value": "1000", "doubleValue": 2.5}),
        ),
        (
            r#"{"color":2,"colors":[1]}"#,
            json!({"color": "GREEN", "colors": ["RED"]}),
        ),
        (
            r#"{"updateMask":"display_name, a.b_c"}"#,
            json!({"updateMask": "displayName,a.bC"}),
        ),
        (
            r#"{"stringValue":null,"inner":null,"inners":null,"counts":null,"maybe":null,"at":null}"#,
            json!({}),
        ),
        (
            r#"{"unknown":{"deep":[1,2,{"x":null}]},"stringValue":"a"}"#,
            json!({"stringValue": "a"}),
        ),
        (
            r#"{"stringValue":"","int64Value":0,"boolValue":false,"strings":[]}"#,
            json!({}),
        ),
        ("", json!({})),
        (" {} ", json!({})),
        (
            r#"{"stringValue":"\u0438\ud83d\ude00"}"#,
            json!({"stringValue": "и😀"}),
        ),
    ];
    for (body, message) in other {
        check(
            &echo,
            "POST",
            "/v1/say",
            body,
            "/rollcall.test.Echo/Say",
            message,
        );
    }
}

#[test]
fn a_bad_body_names_its_field_and_repeats_no_value() {
    let echo = Recorder::of_file("echo.proto");
    let cases = [
        (r#"{"boolValue":"hunter2"}"#, "bool_value"),
        (r#"{"stringValue":12345678}"#, "string_value"),
        (r#"{"stringValue":{"hunter2":1}}"#, "string_value"),
        (r#"{"int32Value":1.5}"#, "int32_value"),
        (r#"{"int32Value":4294967296}"#, "int32_value"),
        (r#"{"int64Value":"hunter2"}"#, "int64_value"),
        (r#"{"uint64Value":-1}"#, "uint64_value"),
        (r#"{"color":"BLUE"}"#, "color"),
        (r#"{"colors":["RED","BLUE"]}"#, "colors[1]"),
        (r#"{"inner":{"numbers":[1,"x"]}}"#, "inner.numbers[1]"),
        (r#"{"inners":[{},{"name":1}]}"#, "inners[1].name"),
        (r#"{"inners":{}}"#, "inners"),
        (r#"{"inner":[]}"#, "inner"),
        (r#"{"inner":"hunter2"}"#, "inner"),
        (r#"{"strings":[null]}"#, "strings[0]"),
        (r#"{"counts":{"a":"x"}}"#, "counts[a]"),
        (r#"{"byNumber":{"x":{}}}"#, "by_number[x]"),
        (r#"{"text":"a","message":{}}"#, "message"),
        (r#"{"stringValue":"a","string_value":"b"}"#, "string_value"),
        (r#"{"at":"yesterday"}"#, "at"),
        (r#"{"wait":900}"#, "wait"),
        (r#"{"updateMask":{"paths":["a"]}}"#, "update_mask"),
        (r#"{"maybe":"true"}"#, "maybe"),
        (r#"{"bytesValue":"?"}"#, "bytes_value"),
        ("[]", ""),
        ("null", ""),
        ("{", ""),
        ("{} {}", ""),
        ("{\"stringValue\":\"\u{1}\"}", "string_value"),
        ("hunter2", ""),
    ];
    for (body, field) in cases {
        let why = check_invalid(&echo, "POST", "/v1/say", body, field);
        assert!(
            !why.contains("hunter2") && !why.contains("12345678"),
            "{body}: {why}"
        );
        assert!(!why.is_empty(), "{body}");
    }
}

#[test]
fn a_small_body_cannot_become_a_large_message() {
    let echo = Recorder::of_file("echo.proto");
    let deep = |levels: usize| {
        format!(
            "{}{{}}{}",
            r#"{"inner":"#.repeat(levels),
            "}".repeat(levels)
        )
    };
    assert_eq!(
        echo.send("POST", "/v1/say", &deep(30)).status,
        StatusCode::OK
    );
    echo.only_call();
    let answer = echo.send("POST", "/v1/say", &deep(40));
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.contains("nested deeper"), "{}", answer.text);
    let unknown = format!(
        r#"{{"unknown":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(echo.send("POST", "/v1/say", &unknown).status.as_u16() < 500);
    echo.forget();
    let many = format!(r#"{{"strings":[{}""]}}"#, r#""","#.repeat(100_000));
    let answer = echo.send("POST", "/v1/say", &many);
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.text.contains("more than 100000 values"),
        "{}",
        answer.text
    );
    assert_eq!(echo.calls(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_gets_an_answer(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "REPORT", "HEAD"]),
        path in prop::sample::select(vec!["/v1/say", "/v1/things/", "/v1/n/say/1", "/v1/things/a:stop"]),
        end in "[-a-z0-9:/%._~+&=?]{0,12}",
        query in "((stringValue|inner|inner\\.name|strings|at|wait|updateMask|maybe|any|counts|bytesValue|color)=[a-zA-Z0-9%.,:_-]{0,8}&){0,3}",
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let echo = Recorder::of_file("echo.proto");
        let answer = echo.send_with(method, &format!("{path}{end}?{query}"), &[], body);
        prop_assert!(answer.status.as_u16() < 500, "{}", answer.text);
        prop_assert!(answer.headers.contains_key("x-request-id"));
    }

    #[test]
    fn any_json_gets_an_answer(
        name in prop::sample::select(vec![
            "boolValue", "int32Value", "uint64Value", "floatValue", "stringValue", "bytesValue", "color",
            "colors", "strings", "inner", "inners", "counts", "byNumber", "text", "at", "wait",
            "updateMask", "maybe", "any", "free", "anything", "unknown",
        ]),
        value in any_json(),
    ) {
        let echo = Recorder::of_file("echo.proto");
        let answer = echo.send("POST", "/v1/say", &json!({name: value}).to_string());
        prop_assert!(answer.status == StatusCode::OK || answer.status == StatusCode::BAD_REQUEST, "{}", answer.text);
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        "[0-9TZ:.,s-]{0,24}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map("(name|numbers|inner|value|@type|[a-z1]{1,3})", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}
