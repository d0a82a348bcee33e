//! Path templates of HTTP rules: `/v1/pools/{pool_id}/domains/{domain}:validate`.
//!
//! Invariant: a variable is exactly one segment, so a template matches only paths of its own
//! length. Deliberately absent: wildcards over several segments (`**`, `{name=a/*}`), which the
//! interface does not use; a rule that has one is refused when the table is built.

use super::path::PATH_SEGMENTS_MAX;

/// One piece between two slashes. The order is the order of preference: literals first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// Must be equal.
    Literal(String),
    /// Anything but the empty text; its value goes to the field with this dotted name.
    Variable(String),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub segments: Vec<Segment>,
    pub verb: Option<String>,
}

impl Template {
    /// Parses the text of a rule. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text
            .strip_prefix('/')
            .ok_or_else(|| "does not begin with a slash".to_owned())?;
        // A colon inside braces cannot be a verb; none of our names holds one.
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb.to_owned())),
            _ => (path, None),
        };
        if verb.as_deref() == Some("") {
            return Err("ends with an empty verb".to_owned());
        }
        let segments = path
            .split('/')
            .map(parse_segment)
            .collect::<Result<Vec<_>, _>>()?;
        if segments.len() > PATH_SEGMENTS_MAX {
            return Err(format!("has more than {PATH_SEGMENTS_MAX} segments"));
        }
        Ok(Self { segments, verb })
    }

    /// The values of the variables, in the order of the template, when `path` matches.
    pub fn matches<'p>(&self, path: &'p [String]) -> Option<Vec<&'p str>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Variable(_) if !text.is_empty() => values.push(text.as_str()),
                _ => return None,
            }
        }
        Some(values)
    }

    /// The dotted names of the fields the variables fill, in the order of the template.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(field) => Some(field.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The template with its variables' names taken out: two rules with the same shape and method
    /// could not be told apart.
    pub fn shape(&self) -> Vec<Option<&str>> {
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(literal) => Some(literal.as_str()),
                Segment::Variable(_) => None,
            })
            .collect()
    }
}

fn parse_segment(text: &str) -> Result<Segment, String> {
    if let Some(inner) = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
    {
        let field = inner.strip_suffix("=*").unwrap_or(inner);
        let valid = !field.is_empty()
            && field
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        return if valid {
            Ok(Segment::Variable(field.to_owned()))
        } else {
            Err(format!("has the variable `{text}`, which is not one field"))
        };
    }
    if text.is_empty() || text.contains(['{', '}', '*', ':']) {
        return Err(format!("has the segment `{text}`, which is not supported"));
    }
    Ok(Segment::Literal(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> Vec<String> {
        raw.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn variables_take_one_segment_each() {
        let template = Template::parse("/pools/{pool_id}/domains/{domain.name}:validate").unwrap();
        assert_eq!(template.verb.as_deref(), Some("validate"));
        assert_eq!(
            template.variables().collect::<Vec<_>>(),
            ["pool_id", "domain.name"]
        );
        assert_eq!(
            template.matches(&path("pools/p/domains/d")),
            Some(vec!["p", "d"])
        );
        assert_eq!(template.matches(&path("pools/p/domains")), None);
        assert_eq!(template.matches(&path("pools//domains/d")), None);
        assert_eq!(template.matches(&path("pools/p/users/d")), None);
    }

    #[test]
    fn a_verb_may_follow_a_literal() {
        let template = Template::parse("/sessions:open").unwrap();
        assert_eq!(template.verb.as_deref(), Some("open"));
        assert_eq!(template.matches(&path("sessions")), Some(vec![]));
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for text in [
            "a", "/a/**", "/a/*", "/{a=b/*}", "/{a", "/a//b", "/a:", "/{}", "/{a-b}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse("/{a=*}").is_ok());
    }
}
