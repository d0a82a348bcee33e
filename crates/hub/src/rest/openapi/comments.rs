//! The comments of the contract, by the full name of what they describe.
//!
//! Invariant: a contract without comments gives none and is no error.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumValueDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    OneofDescriptor, ServiceDescriptor,
};

/// File name and path within the file, as source code info has them.
type Place = (String, Vec<i32>);

/// All comments of a contract.
#[derive(Debug, Default)]
pub(super) struct Comments {
    by_place: HashMap<Place, String>,
}

/// What a comment can stand above.
pub(super) trait Commented {
    /// Where it is.
    fn place(&self) -> Place;
}

macro_rules! commented {
    ($($kind:ty: $owner:ident),*) => {$(
        impl Commented for $kind {
            fn place(&self) -> Place {
                let file = self.$owner().parent_file();
                (file.name().to_owned(), self.path().to_vec())
            }
        }
    )*};
}

commented!(
    EnumValueDescriptor: parent_enum,
    FieldDescriptor: parent_message,
    OneofDescriptor: parent_message,
    MethodDescriptor: parent_service
);

impl Commented for MessageDescriptor {
    fn place(&self) -> Place {
        (self.parent_file().name().to_owned(), self.path().to_vec())
    }
}

impl Commented for ServiceDescriptor {
    fn place(&self) -> Place {
        (self.parent_file().name().to_owned(), self.path().to_vec())
    }
}

impl Comments {
    /// Collects the comments of every file in `pool`.
    pub fn read(pool: &DescriptorPool) -> Self {
        let mut by_place = HashMap::new();
        for file in pool.file_descriptor_protos() {
            let locations = file.source_code_info.iter().flat_map(|info| &info.location);
            for location in locations {
                let comment = reflow(location.leading_comments());
                if !comment.is_empty() {
                    by_place.insert((file.name().to_owned(), location.path.clone()), comment);
                }
            }
        }
        Self { by_place }
    }

    /// The comment above `thing`; empty when there is none.
    pub fn of(&self, thing: &impl Commented) -> &str {
        self.by_place.get(&thing.place()).map_or("", String::as_str)
    }
}

/// The first sentence of a comment, without its full stop.
pub(super) fn first_sentence(comment: &str) -> &str {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let end = paragraph
        .match_indices(". ")
        .map(|(position, _)| position)
        // Not after an abbreviation such as "e.g.".
        .find(|position| {
            paragraph
                .get(position + 2..)
                .and_then(|rest| rest.chars().next())
                .is_some_and(char::is_uppercase)
        });
    match end {
        Some(end) => paragraph.get(..end).unwrap_or(paragraph),
        None => paragraph.strip_suffix('.').unwrap_or(paragraph),
    }
}

/// Joins the lines of each paragraph: how the contract breaks its lines means nothing to readers.
fn reflow(comment: &str) -> String {
    let mut paragraphs: Vec<String> = vec![String::new()];
    for line in comment.lines().map(str::trim) {
        let Some(last) = paragraphs.last_mut() else {
            continue;
        };
        if line.is_empty() {
            if !last.is_empty() {
                paragraphs.push(String::new());
            }
        } else {
            let separator = match (last.is_empty(), line.starts_with("- ")) {
                (true, _) => "",
                (false, true) => "\n",
                (false, false) => " ",
            };
            last.push_str(separator);
            last.push_str(line);
        }
    }
    paragraphs.join("\n\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_paragraphs_kept() {
        assert_eq!(
            reflow(" One\n two.\n\n Three:\n - a\n - b\n c\n"),
            "One two.\n\nThree:\n- a\n- b c"
        );
        assert_eq!(reflow(""), "");
    }

    #[test]
    fn the_first_sentence_is_the_summary() {
        assert_eq!(first_sentence("Makes it. Then waits."), "Makes it");
        assert_eq!(
            first_sentence("Makes it, e.g. twice.\n\nMore"),
            "Makes it, e.g. twice"
        );
        assert_eq!(first_sentence(""), "");
    }
}
