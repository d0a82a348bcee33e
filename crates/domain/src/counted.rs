//! Numbers of things in messages: "1 user", "2 users".

/// `count` things called `one`, whose plural ends in s.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural() {
        let texts = [0, 1, 2, 21].map(|count| counted(count, "user"));
        assert_eq!(texts, ["0 users", "1 user", "2 users", "21 users"]);
    }
}
