//! Passwords that everybody tries first.
//!
//! Invariant: one password per line, sorted, none twice. Deliberately absent: what follows from a
//! password being one of them.

/// The common passwords, as they are typed.
pub fn common_passwords() -> impl Iterator<Item = &'static str> {
    include_str!("common_passwords.txt").lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_no_blanks() {
        let all: Vec<_> = common_passwords().collect();
        assert!(all.len() > 300);
        assert!(all.is_sorted_by(|a, b| a < b));
        assert!(all.iter().all(|password| *password == password.trim()));
        assert!(all.contains(&"password"));
    }
}
