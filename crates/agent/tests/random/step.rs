//! One change of the directory.

use rollcall_lab::samba::Dc;

use crate::change::line;

/// What an administrator does.
#[derive(Debug)]
pub enum Step {
    /// A change in LDIF.
    Change(String),
    /// A group becomes the primary one of a user, who is a member.
    PrimaryGroup { user: String, group: String },
    /// A deleted object comes back under this name, and then gets what its tombstone lost.
    Restore {
        account: String,
        dn: String,
        then: String,
    },
}

impl Step {
    pub fn carry_out(&self, dc: &Dc) {
        match self {
            Self::Change(ldif) => {
                println!("{}", shown(ldif));
                dc.admin_ldapmodify(ldif).unwrap();
            }
            Self::PrimaryGroup { user, group } => {
                println!("primary group of {user}: {group}");
                let filter = format!("(sAMAccountName={group})");
                let dump = dc
                    .admin_ldapsearch(&[&filter, "primaryGroupToken"])
                    .unwrap();
                let mut lines = dump.lines();
                let rid = lines.find_map(|line| line.strip_prefix("primaryGroupToken: "));
                let dn = line("dn", user);
                let change = format!(
                    "{dn}changetype: modify\nreplace: primaryGroupID\nprimaryGroupID: {}\n\n",
                    rid.unwrap()
                );
                dc.admin_ldapmodify(&change).unwrap();
            }
            Self::Restore { account, dn, then } => {
                println!("restore {account} as {dn}\n{}", shown(then));
                dc.admin_restore(account, dn).unwrap();
                dc.admin_ldapmodify(then).unwrap();
            }
        }
    }
}

/// In one line.
fn shown(ldif: &str) -> String {
    ldif.trim().replace('\n', " | ")
}
