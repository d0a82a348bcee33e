use super::*;

#[track_caller]
fn check(text: &str, expected: Result<&[(&str, Test)], &str>) {
    let parsed = Filter::parse(text, USER_FIELDS);
    match expected {
        Ok(conditions) => {
            let found = parsed.unwrap().conditions;
            let found: Vec<_> = found
                .into_iter()
                .map(|condition| (condition.field, condition.test))
                .collect();
            assert_eq!(found, conditions, "{text}");
        }
        Err(part) => {
            let why = parsed.unwrap_err().to_string();
            assert!(why.contains(part), "{text}: {why:?} lacks {part:?}");
        }
    }
}

fn text(value: &str) -> String {
    value.to_owned()
}

#[test]
fn expressions() {
    check("", Ok(&[]));
    check("  ", Ok(&[]));
    check("email=\"a@b\"", Ok(&[("email", Test::Equal(text("a@b")))]));
    check(
        "full_name = 'O\\'Neil'",
        Ok(&[("full_name", Test::Equal(text("O'Neil")))]),
    );
    check(
        "username != 'Ann@Corp'",
        Ok(&[("username", Test::NotEqual(text("ann@corp")))]),
    );
    check(
        "status = active",
        Ok(&[("status", Test::Equal(text("ACTIVE")))]),
    );
    check(
        "id IN ('a', 'b') and email contains 'x' AND full_name:\"y\"",
        Ok(&[
            ("id", Test::In(vec![text("a"), text("b")])),
            ("email", Test::Contains(text("x"))),
            ("full_name", Test::Contains(text("y"))),
        ]),
    );
    check(
        "id not in ('a')",
        Ok(&[("id", Test::NotIn(vec![text("a")]))]),
    );
}

#[test]
fn errors() {
    check("phone = '1'", Err("field \"phone\" is unknown"));
    check("status = 'GONE'", Err("is no status"));
    check("id = ", Err("ends where a value"));
    check("id = 'a", Err("ends inside quotes"));
    check("id = 'a' OR id = 'b'", Err("expected AND before OR"));
    check("id = 'a' AND", Err("ends where a condition"));
    check("id ! 'a'", Err("! must be followed"));
    check("id IN 'a'", Err("expected ( after IN"));
    check("id IN ('a' 'b')", Err("expected , or )"));
    check("id NOT 'a'", Err("expected IN after NOT"));
    check("id > 'a'", Err("unexpected character '>'"));
    check("= 'a'", Err("expected a field"));
    check(
        &format!("id = '{}'", "a".repeat(1_000)),
        Err("longer than 1000"),
    );
    check(
        &vec!["id = a"; 21].join(" AND "),
        Err("more than 20 conditions"),
    );
}

#[test]
fn conditions_are_evaluated() {
    for (test, value, expected) in [
        (Test::Equal(text("a")), "a", true),
        (Test::Equal(text("a")), "A", false),
        (Test::NotEqual(text("a")), "b", true),
        (Test::In(vec![text("a"), text("b")]), "b", true),
        (Test::NotIn(vec![text("a"), text("b")]), "b", false),
        (Test::Contains(text("ЕТ")), "Петров", true),
        (Test::Contains(text("x")), "Петров", false),
    ] {
        assert_eq!(test.passes(value), expected, "{test:?} {value}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_badly(text in "\\PC{0,60}") {
        let _ = Filter::parse(&text, USER_FIELDS);
    }

    #[test]
    fn a_quoted_value_comes_back(value in "[^\\\\'\"]{0,40}") {
        let parsed = Filter::parse(&format!("full_name = '{value}'"), USER_FIELDS).unwrap();
        proptest::prop_assert_eq!(&parsed.conditions[0].test, &Test::Equal(value));
    }
}
