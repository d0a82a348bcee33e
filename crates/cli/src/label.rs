//! `--label` and `--no-labels` of commands that change a thing.

use std::collections::BTreeMap;

use clap::Args;

use crate::value::{self, Changes};

/// Labels that replace those there are.
#[derive(Debug, Args)]
pub struct LabelChange {
    /// A label; can be repeated; all labels are replaced.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    labels: Option<Vec<(String, String)>>,
    /// Remove all labels.
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
}

impl LabelChange {
    /// The new labels, noted as changed when there are any or none shall be left.
    pub fn take(self, changes: &mut Changes) -> BTreeMap<String, String> {
        let labels = self.labels.or_else(|| self.no_labels.then(Vec::new));
        value::labels(changes.take("labels", labels))
    }
}
