//! Distinguished names as text (RFC 4514).
//!
//! Invariant: what is written here is read back as it was. Deliberately absent: names of several
//! attributes, which Active Directory does not have.

/// One step of a name: the attribute in lower case and the value.
pub type Step = (String, String);

/// A relative name as text.
pub fn render(naming: &str, value: &str) -> String {
    let mut text = format!("{naming}=");
    let last = value.chars().count().saturating_sub(1);
    for (place, character) in value.chars().enumerate() {
        let at_edge = place == 0 || place == last;
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => {
                text.push('\\');
                text.push(character);
            }
            ' ' if at_edge => text.push_str("\\ "),
            '#' if place == 0 => text.push_str("\\#"),
            // MS-ADTS 3.1.1.5.5: the name of a deleted object has a line feed, written \0A.
            '\0'..='\x1f' => text.push_str(&format!("\\{:02X}", character as u32)),
            _ => text.push(character),
        }
    }
    text
}

/// The steps of a name from the object upwards; `None` when it is none.
pub fn parse(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut bytes = text.bytes().peekable();
    while bytes.peek().is_some() {
        let mut naming = Vec::new();
        loop {
            match bytes.next()? {
                b'=' => break,
                byte => naming.push(byte.to_ascii_lowercase()),
            }
        }
        let mut value = Vec::new();
        loop {
            match bytes.next() {
                None | Some(b',') => break,
                Some(b'\\') => {
                    let first = bytes.next()?;
                    let high = char::from(first).to_digit(16);
                    let low = bytes.peek().and_then(|b| char::from(*b).to_digit(16));
                    if let (Some(high), Some(low)) = (high, low) {
                        bytes.next();
                        value.push((high * 16 + low) as u8);
                    } else {
                        value.push(first);
                    }
                }
                Some(byte) => value.push(byte),
            }
        }
        let naming = String::from_utf8(naming).ok()?.trim().to_owned();
        steps.push((naming, String::from_utf8(value).ok()?));
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difficult_names_come_back() {
        for value in [
            "a",
            " a, b ",
            "#x+y",
            "Иван \"Я\"",
            "a\nDEL:1",
            "\\",
            "=;<>",
        ] {
            let text = format!("{},DC=x", render("CN", value));
            let steps = parse(&text).unwrap();
            assert_eq!(steps[0], ("cn".to_owned(), value.to_owned()), "{text}");
            assert_eq!(steps.len(), 2);
        }
    }
}
