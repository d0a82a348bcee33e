//! The path of a request, cut into segments and decoded.
//!
//! Invariant: a segment never comes from more than one segment of the raw path: an encoded slash
//! (`%2F`) stays inside its segment. Decoding is strict: a broken escape or text that is not UTF-8
//! is refused instead of guessed at.

use std::fmt;

/// Segments a path may have; no rule is longer, so longer paths lead nowhere.
pub(super) const PATH_SEGMENTS_MAX: usize = 16;

/// Why a text could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// A `%` that two hexadecimal digits do not follow.
    Escape,
    /// The decoded bytes are not UTF-8.
    Text,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escape => {
                "has a % that is not followed by two hexadecimal digits; write % as %25"
            }
            Self::Text => "is not UTF-8 after decoding its % escapes",
        })
    }
}

/// What a plus sign means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in a path (RFC 3986).
    Literal,
    /// A space, as in a form or query (application/x-www-form-urlencoded).
    Space,
}

/// Decodes `%XX` escapes.
pub(super) fn percent_decode(text: &str, plus: Plus) -> Result<String, Undecodable> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (
                    rest.next().and_then(hex_digit),
                    rest.next().and_then(hex_digit),
                );
                match (high, low) {
                    (Some(high), Some(low)) => bytes.push(high << 4 | low),
                    _ => return Err(Undecodable::Escape),
                }
            }
            b'+' if plus == Plus::Space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| Undecodable::Text)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A decoded path, read in the two ways a colon in its last segment allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestPath {
    /// Every segment, the last one with its colon.
    pub plain: Vec<String>,
    /// The same path when the last raw colon of the last segment starts a custom verb.
    pub with_verb: Option<VerbPath>,
}

/// A path whose end is a custom verb: `/users/u1:suspend`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VerbPath {
    /// The segments without the verb.
    pub segments: Vec<String>,
    /// The verb, without its colon.
    pub verb: String,
}

impl RequestPath {
    /// Reads a raw path. None: too many segments, or no leading slash, so that no rule can match.
    pub fn parse(raw: &str) -> Result<Option<Self>, Undecodable> {
        let Some(raw) = raw.strip_prefix('/') else {
            return Ok(None);
        };
        let mut raw_segments: Vec<&str> = raw.split('/').take(PATH_SEGMENTS_MAX + 1).collect();
        if raw_segments.len() > PATH_SEGMENTS_MAX {
            return Ok(None);
        }
        let last = raw_segments.pop().unwrap_or_default();
        let head = raw_segments
            .into_iter()
            .map(|segment| percent_decode(segment, Plus::Literal))
            .collect::<Result<Vec<_>, _>>()?;
        // Only a raw colon starts a verb: an encoded one (%3A) belongs to the value.
        let with_verb = match last.rsplit_once(':') {
            Some((value, verb)) if !value.is_empty() && !verb.is_empty() => Some(VerbPath {
                segments: followed_by(&head, percent_decode(value, Plus::Literal)?),
                verb: percent_decode(verb, Plus::Literal)?,
            }),
            _ => None,
        };
        let plain = followed_by(&head, percent_decode(last, Plus::Literal)?);
        Ok(Some(Self { plain, with_verb }))
    }
}

fn followed_by(head: &[String], last: String) -> Vec<String> {
    let mut all = head.to_vec();
    all.push(last);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(raw: &str) -> RequestPath {
        RequestPath::parse(raw).unwrap().unwrap()
    }

    #[test]
    fn an_encoded_slash_stays_in_its_segment() {
        assert_eq!(parsed("/a/b%2Fc/d").plain, ["a", "b/c", "d"]);
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus() {
        assert_eq!(parsed("/a+b").plain, ["a+b"]);
        assert_eq!(percent_decode("a+b%2B", Plus::Space).unwrap(), "a b+");
    }

    #[test]
    fn only_a_raw_colon_starts_a_verb() {
        let path = parsed("/users/u1:suspend");
        assert_eq!(path.plain, ["users", "u1:suspend"]);
        let with_verb = path.with_verb.unwrap();
        assert_eq!(with_verb.segments, ["users", "u1"]);
        assert_eq!(with_verb.verb, "suspend");
        assert_eq!(parsed("/users/u1%3Asuspend").with_verb, None);
        assert_eq!(parsed("/users/:suspend").with_verb, None);
        assert_eq!(parsed("/users/u1:").with_verb, None);
        assert_eq!(parsed("/users:x/u1").with_verb, None);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for raw in ["/%", "/%1", "/%zz", "/a%2"] {
            assert_eq!(RequestPath::parse(raw), Err(Undecodable::Escape), "{raw}");
        }
        assert_eq!(RequestPath::parse("/%ff"), Err(Undecodable::Text));
    }

    #[test]
    fn endless_paths_lead_nowhere() {
        assert_eq!(
            RequestPath::parse(&"/a".repeat(PATH_SEGMENTS_MAX + 1)),
            Ok(None)
        );
        assert!(
            RequestPath::parse(&"/a".repeat(PATH_SEGMENTS_MAX))
                .unwrap()
                .is_some()
        );
        assert_eq!(RequestPath::parse("*"), Ok(None));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(raw in "\\PC*") {
            let _ = RequestPath::parse(&raw);
            let _ = percent_decode(&raw, Plus::Space);
        }

        #[test]
        fn encoding_every_byte_round_trips(text in "\\PC*") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(percent_decode(&encoded, Plus::Literal).unwrap(), text);
        }
    }
}
