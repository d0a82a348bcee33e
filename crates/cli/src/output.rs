//! How results are shown: tables for people, JSON and YAML for programs.
//!
//! Invariant: JSON is the canonical JSON of the interface (camel case, RFC 3339 times), the same
//! that its REST form answers with.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};
use prost_types::Timestamp;
use serde::{Serialize, Serializer};

use crate::failure::Failure;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns; a single thing as YAML.
    Table,
    /// JSON; a list as one array.
    Json,
    /// JSON, each result in a line of its own.
    Jsonl,
    /// YAML.
    Yaml,
}

/// Where results go.
pub struct Output {
    format: Format,
}

/// A column of a table: its title and what stands there.
pub type Column<T> = (&'static str, fn(&T) -> String);

impl Output {
    /// Results in `format` on standard output.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// How results are shown.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Shows one thing.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn one<T: Message + Name>(&self, thing: &T) -> Result<(), Failure> {
        let shown = Shown::new(thing)?;
        match self.format {
            Format::Json => self.json(&shown),
            Format::Jsonl => self.line(&shown),
            Format::Table | Format::Yaml => self.yaml(&shown),
        }
    }

    /// Shows a list.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn list<T: Message + Name>(
        &self,
        things: &[T],
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        let shown = || things.iter().map(Shown::new).collect::<Result<Vec<_>, _>>();
        match self.format {
            Format::Json => self.json(&shown()?),
            Format::Jsonl => shown()?.iter().try_for_each(|thing| self.line(thing)),
            Format::Yaml => self.yaml(&shown()?),
            Format::Table => self.text(&table(things, columns)),
        }
    }

    /// Shows one more thing of a list without an end: a line.
    ///
    /// # Errors
    /// When standard output cannot be written; `Usage` for forms that need an end.
    pub fn one_more<T: Message + Name>(
        &self,
        thing: &T,
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let cells: Vec<String> = columns
                    .iter()
                    .map(|(_, cell)| one_line(&cell(thing)))
                    .collect();
                self.text(&cells.join("  "))
            }
            Format::Jsonl => self.line(&Shown::new(thing)?),
            Format::Json | Format::Yaml => Err(Failure::usage(
                "a list without an end has one result in each line: give -o jsonl, or no -o",
            )),
        }
    }

    /// Says that something without a result was done; programs get an empty object.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn done(&self, what: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(what),
            Format::Json | Format::Jsonl | Format::Yaml => self.text("{}"),
        }
    }

    /// Shows plain data that is no message of the interface.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn data(&self, data: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(data),
            Format::Jsonl => self.line(data),
            Format::Table | Format::Yaml => self.yaml(data),
        }
    }

    /// Shows a text as it is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end())
            .and_then(|()| out.flush())
            .map_err(Failure::Output)
    }

    fn json(&self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(data)
            .map_err(|error| Failure::Other(format!("cannot render JSON: {error}")))?;
        self.text(&text)
    }

    fn line(&self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(data)
            .map_err(|error| Failure::Other(format!("cannot render JSON: {error}")))?;
        self.text(&text)
    }

    fn yaml(&self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_saphyr::to_string(data)
            .map_err(|error| Failure::Other(format!("cannot render YAML: {error}")))?;
        self.text(&text)
    }
}

/// A message as canonical JSON data, in the order of its fields.
struct Shown(DynamicMessage);

impl Shown {
    fn new<T: Message + Name>(message: &T) -> Result<Self, Failure> {
        let name = T::full_name();
        let unknown = |why: String| Failure::Other(format!("cannot show {name}: {why}"));
        let descriptor = rollcall_proto::descriptor_pool()
            .get_message_by_name(&name)
            .ok_or_else(|| unknown("it is not in the contract".to_owned()))?;
        DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
            .map(Self)
            .map_err(|error| unknown(error.to_string()))
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0
            .serialize_with_options(serializer, &SerializeOptions::new())
    }
}

fn table<T>(things: &[T], columns: &[Column<T>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for thing in things {
        table.add_row(columns.iter().map(|(_, cell)| one_line(&cell(thing))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Control characters of foreign text must neither break the table nor reach the terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// A moment for people, to the second.
pub fn moment(moment: Option<&Timestamp>) -> String {
    moment.map_or_else(String::new, |moment| {
        rollcall_kit::timestamp::Timestamp::from_seconds(moment.seconds).to_string()
    })
}

/// The name of an enum value without the words that all values share.
pub fn choice(name: &str) -> String {
    if name.ends_with("_UNSPECIFIED") {
        String::new()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use rollcall_proto::idp;

    use super::*;

    fn user() -> idp::User {
        idp::User {
            id: "aje1".into(),
            username: "anna@corp.example".into(),
            full_name: "Анна\nÅ".into(),
            status: idp::user::Status::Active.into(),
            created_at: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 500_000_000,
            }),
            ..Default::default()
        }
    }

    #[test]
    fn json_is_that_of_the_interface() {
        let shown = Shown::new(&user()).unwrap();
        assert_eq!(
            serde_json::to_string(&shown).unwrap(),
            "{\"id\":\"aje1\",\"status\":\"ACTIVE\",\"username\":\"anna@corp.example\",\
             \"fullName\":\"Анна\\nÅ\",\"createdAt\":\"2023-11-14T22:13:20.500Z\"}"
        );
    }

    #[test]
    fn yaml_has_the_same_content() {
        let shown = Shown::new(&idp::Userpool {
            id: "ek01".into(),
            domains: vec!["corp.example".into()],
            ..Default::default()
        })
        .unwrap();
        let text = serde_saphyr::to_string(&shown).unwrap();
        assert!(text.contains("id: ek01"), "{text}");
        assert!(text.contains("- corp.example"), "{text}");
    }

    #[test]
    fn tables_have_one_line_for_each_thing() {
        let columns: [Column<idp::User>; 2] = [
            ("ID", |user| user.id.clone()),
            ("NAME", |user| user.full_name.clone()),
        ];
        assert_eq!(
            table(&[user(), user()], &columns),
            "ID    NAME\naje1  Анна Å\naje1  Анна Å"
        );
    }
}
