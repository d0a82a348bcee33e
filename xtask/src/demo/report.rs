//! What the demonstration prints at its end.

use comfy_table::{Table, presets};
use rollcall_lab::oracle::{Expected, State};
use serde_json::Value;

use super::stage::Stage;

/// Differences and failed items shown one by one; more are counted.
const LINES_MAX: usize = 20;

/// What came of the run.
pub struct Outcome<'a> {
    /// What the directory says the hub should hold.
    pub expected: &'a Expected,
    /// What it holds.
    pub found: &'a State,
    /// The summary the agent printed.
    pub summary: &'a Value,
    /// Where both differ.
    pub differences: &'a [String],
    /// People who tried to sign in.
    pub sign_ins: usize,
    /// Who of them was refused, and why.
    pub refused: &'a [String],
}

/// The table of the run, the failed items, and the differences if there are any.
pub fn print(outcome: &Outcome<'_>) {
    let Outcome {
        expected,
        found,
        summary,
        differences,
        sign_ins,
        refused,
    } = *outcome;
    let failed = summary
        .get("failed_items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let memberships: usize = found.groups.values().map(|group| group.members.len()).sum();
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_FULL_CONDENSED)
        .set_header(["what", "value"]);
    table.add_row([
        "objects in the directory",
        &expected.objects_read.to_string(),
    ]);
    let in_scope = expected.state.users.len() + expected.state.groups.len() + expected.unfit.len();
    table.add_row(["users and groups in scope", &in_scope.to_string()]);
    table.add_row(["users in the hub", &found.users.len().to_string()]);
    table.add_row(["groups in the hub", &found.groups.len().to_string()]);
    table.add_row(["memberships in the hub", &memberships.to_string()]);
    table.add_row(["failed items", &failed.len().to_string()]);
    table.add_row([
        "failed items foreseen",
        &expected.failed_items().to_string(),
    ]);
    let hashes = summary.pointer("/streams/password_hashes/users/password_hashes");
    table.add_row(["passwords brought to the hub", &plain(hashes)]);
    let entered = sign_ins.saturating_sub(refused.len());
    table.add_row([
        "signed in with their passwords",
        &format!("{entered} of {sign_ins}"),
    ]);
    for key in ["session_id", "mode", "seconds", "objects_per_second"] {
        table.add_row([key.replace('_', " "), plain(summary.get(key))]);
    }
    let verdict = if differences.is_empty() {
        "equal"
    } else {
        "DIFFERENT"
    };
    table.add_row(["hub and directory", verdict]);
    println!("{table}");
    if !failed.is_empty() {
        println!("Failed items: the interface cannot hold them, the others are unaffected.");
        print_some(failed.iter().map(|item| {
            format!(
                "{}: {}",
                plain(item.get("object")),
                plain(item.get("reason"))
            )
        }));
    }
    if !refused.is_empty() {
        println!("People who could not sign in:");
        print_some(refused.iter().cloned());
    }
    if !differences.is_empty() {
        println!("Differences between hub and directory:");
        print_some(differences.iter().cloned());
    }
}

/// Commands that change the directory, and what will be seen.
pub fn print_what_to_try(stage: &Stage) {
    let base = stage.dc.base_dn();
    let conf = stage.dc.conf_path();
    let program = stage.programs.path("rollcall");
    println!(
        "\nThe agent now follows the directory. In another terminal:\n\n  \
         export ROLLCALL_ADDRESS={address} ROLLCALL_CA={ca} ROLLCALL_KEY={key}\n\n  \
         # a new person: in the hub within 40 seconds\n  \
         samba-tool user create zoe 'Pa55-word-zoe' --userou='OU=People' --given-name=Zoe \
         --configfile={conf}\n  \
         {program} user list --userpool {pool} --filter 'username contains \"zoe\"'\n\n  \
         # she signs in at the hub with her password of the directory, also with the next one\n  \
         echo 'Pa55-word-zoe' | {program} sign-in zoe@{domain}\n  \
         samba-tool user setpassword zoe --newpassword='Pa55-word-two' --configfile={conf}\n  \
         echo 'Pa55-word-two' | {program} sign-in zoe@{domain}\n\n  \
         # a password set at the hub counts when the directory has taken it\n  \
         echo 'Pa55-word-three' | {program} user set-password zoe@{domain}\n  \
         LDAPTLS_CACERT={directory_ca} ldapsearch -LLL -x -H {ldaps} -D zoe@{realm} -w 'Pa55-word-three' \
         -b '' -s base defaultNamingContext\n\n  \
         # a disabled account: suspended in the hub\n  \
         samba-tool user disable zoe --configfile={conf}\n\n  \
         # a removed person\n  \
         samba-tool user delete zoe --configfile={conf}\n\n  \
         # what the agent did\n  \
         {program} session list --userpool {pool}\n\n\
         The domain is {base}; everything lies in {folder} and is removed at the end.\n",
        address = stage.hub.address,
        ca = stage.hub.ca.display(),
        key = stage.hub.key.display(),
        conf = conf.display(),
        program = program.display(),
        pool = stage.pool_id,
        domain = stage.domain,
        realm = stage.dc.realm().to_lowercase(),
        ldaps = stage.dc.ldaps_url(),
        directory_ca = stage.dc.ca_path().display(),
        folder = stage.folder.path().display(),
    );
}

fn print_some(lines: impl ExactSizeIterator<Item = String>) {
    let count = lines.len();
    for line in lines.take(LINES_MAX) {
        println!("  - {line}");
    }
    if count > LINES_MAX {
        println!("  and {} more", count - LINES_MAX);
    }
}

fn plain(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.1}", number.as_f64().unwrap_or_default())
        }
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}
