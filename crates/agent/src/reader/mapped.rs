//! The mapped attributes: whether changes of them can be followed, and their values as text.
//!
//! Invariant: an attribute is read the same in a report of changes and in a search; one that only
//! one of both shows would come and go with the kind of run, so it is refused before the first.

use rollcall_directory::{Base, Entry, Filter, SearchRequest};

use super::{Reader, failure};
use crate::engine::mapping::Mapping;
use crate::failure::Failure;

/// Attributes whose values are security identifiers, in lower case (MS-ADTS 3.1.1.2.2.2.12).
const SIDS: [&str; 4] = [
    "objectsid",
    "sidhistory",
    "securityidentifier",
    "ms-ds-creatorsid",
];
/// Attributes whose values are GUIDs, in lower case.
const GUIDS: [&str; 2] = ["objectguid", "ms-ds-consistencyguid"];
/// Syntaxes whose values are text or become it without loss: object identifiers, strings, truth
/// values, numbers and times (MS-ADTS 3.1.1.2.2.2).
const TEXTS: [&str; 10] = [
    "2.5.5.2", "2.5.5.3", "2.5.5.4", "2.5.5.5", "2.5.5.6", "2.5.5.8", "2.5.5.9", "2.5.5.11",
    "2.5.5.12", "2.5.5.16",
];
/// Of no attribute but objectGUID, which every report has all the same. systemFlags:
/// FLAG_ATTR_NOT_REPLICATED and FLAG_ATTR_IS_CONSTRUCTED (MS-ADTS 2.2.10).
const NOT_IN_REPORTS: i64 = 0x1 | 0x4;
/// searchFlags: fCONFIDENTIAL (MS-ADTS 2.2.9).
const CONFIDENTIAL: i64 = 0x80;

impl Reader {
    /// Looks up in the schema what is mapped beyond the supported sources. A misspelt name would
    /// otherwise empty a field of everybody.
    ///
    /// # Errors
    /// [`Failure::Run`] naming the attribute that cannot be mapped.
    pub async fn check_mapping(&mut self, mapping: &Mapping) -> Result<(), Failure> {
        let mut wanted: Vec<&str> = mapping.arbitrary_attributes().collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let root = self.connection.root_dse().await;
        let schema = root.map_err(|error| failure(&error))?.schema_naming_context;
        let Some(schema) = schema else {
            return Err(unmappable("", "the directory does not tell its schema"));
        };
        let names = wanted.iter();
        let filter = Filter::And(vec![
            Filter::equal("objectClass", "attributeSchema"),
            Filter::Or(names.map(|n| Filter::equal("lDAPDisplayName", n)).collect()),
        ]);
        let attributes = [
            "lDAPDisplayName",
            "attributeSyntax",
            "systemFlags",
            "searchFlags",
        ];
        let request = SearchRequest::subtree(Base::Dn(schema), filter, &attributes);
        let found = match self.connection.search(request).await {
            Ok(search) => search.collect().await,
            Err(error) => Err(error),
        };
        let found = found.map_err(|error| failure(&error))?;
        for name in wanted {
            let definition = found.iter().find(|entry| {
                let known = entry.attributes.text("lDAPDisplayName");
                known.is_some_and(|known| known.eq_ignore_ascii_case(name))
            });
            let why = match definition {
                None => Some("the directory has no such attribute"),
                Some(definition) => unfit(name, definition),
            };
            if let Some(why) = why {
                return Err(unmappable(name, why));
            }
        }
        Ok(())
    }
}

fn unmappable(name: &str, why: &str) -> Failure {
    Failure::Run(format!(
        "the attribute mapping names {name}, which cannot be followed: {why}; nothing was changed"
    ))
}

/// Why an attribute cannot be mapped.
fn unfit(name: &str, definition: &Entry) -> Option<&'static str> {
    let found = &definition.attributes;
    let number = |name| found.i64(name).unwrap_or_default();
    let syntax = found.text("attributeSyntax").unwrap_or_default();
    let is_text = TEXTS.contains(&syntax) || SIDS.contains(&name) || GUIDS.contains(&name);
    let in_reports = number("systemFlags") & NOT_IN_REPORTS == 0 || name == "objectguid";
    if !in_reports {
        Some("each controller has a value of its own, or works it out when asked")
    } else if number("searchFlags") & CONFIDENTIAL != 0 {
        Some("it is confidential")
    } else if !is_text {
        Some("its values are no text, or names of other objects that would not follow renames")
    } else {
        None
    }
}

/// The value of a mapped attribute, `name` in lower case. Of several values it is the first in
/// the order of their bytes, because a directory gives them in no order.
pub(super) fn text_of(entry: &Entry, name: &str) -> Option<String> {
    let found = &entry.attributes;
    if SIDS.contains(&name) {
        return found.sid(name).map(|sid| sid.to_string());
    }
    if GUIDS.contains(&name) {
        return found.guid(name).map(|guid| guid.to_string());
    }
    let least = found.texts(name).min();
    let relative = (name == "cn").then(|| found.text("name")).flatten();
    // DirSync never returns the relative name under its own attribute.
    least.or(relative).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rollcall_directory::{Attributes, Guid};

    use super::*;

    fn entry(attributes: &[(&str, &[&[u8]])]) -> Entry {
        let list = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| value.to_vec());
            ((*name).to_owned(), values.collect())
        });
        Entry {
            guid: Guid::from_bytes([1; 16]),
            dn: "CN=x".parse().unwrap(),
            kind: None,
            parent: None,
            deleted: false,
            attributes: Attributes::new(list.collect()),
        }
    }

    #[test]
    fn values_become_text() {
        let sid: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        let entry = entry(&[
            ("objectSid", &[sid]),
            ("objectGUID", &[&[7; 16]]),
            ("name", &[b"N"]),
            ("proxyAddresses", &[b"smtp:b@x", b"SMTP:a@x"]),
            ("thumbnailPhoto", &[&[0xff, 0xd8]]),
        ]);
        for (name, value) in [
            ("objectsid", Some("S-1-5-32-544")),
            ("objectguid", Some("07070707-0707-0707-0707-070707070707")),
            ("cn", Some("N")),
            ("proxyaddresses", Some("SMTP:a@x")),
            ("thumbnailphoto", None),
            ("title", None),
        ] {
            assert_eq!(text_of(&entry, name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn only_what_reports_and_searches_show_alike_is_mapped() {
        for (name, syntax, system, search, fits) in [
            ("extensionattribute1", "2.5.5.12", "0", "0", true),
            ("employeenumber", "2.5.5.12", "", "16", true),
            ("sidhistory", "2.5.5.17", "18", "1", true),
            ("objectguid", "2.5.5.10", "19", "9", true),
            ("thumbnailphoto", "2.5.5.10", "16", "0", false),
            ("manager", "2.5.5.1", "16", "16", false),
            ("whenchanged", "2.5.5.11", "19", "0", false),
            ("canonicalname", "2.5.5.12", "134217748", "0", false),
            ("salary", "2.5.5.12", "0", "128", false),
        ] {
            let definition = entry(&[
                ("attributeSyntax", &[syntax.as_bytes()]),
                ("systemFlags", &[system.as_bytes()]),
                ("searchFlags", &[search.as_bytes()]),
            ]);
            assert_eq!(unfit(name, &definition).is_none(), fits, "{name}");
        }
    }
}
