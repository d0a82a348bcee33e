//! Serves a fake directory to try things by hand: PEOPLE in OU=People, and the first MEMBERS of them in
//! one group. Ends with its standard input.

use std::io::Read;

use anyhow::Context;
use rollcall_lab::fake_directory::{BASE_DN, FakeDirectory};

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let people = numbers.next().context("say how many people")??;
    let members = numbers.next().transpose()?.unwrap_or_default();
    let directory = FakeDirectory::start()?;
    directory.edit(|domain| {
        let unit = domain.people()?;
        domain.populate(unit, people)?;
        let everybody: Vec<_> = (0..members.min(people))
            .map(|at| domain.person(at))
            .collect();
        let groups = domain.groups()?;
        domain.add_group("everybody", groups, everybody)
    })?;
    println!(
        "LDAPTLS_CACERT={} ldapsearch -x -H {} -D {} -w '{}' -E pr=1000/noprompt -b {BASE_DN} '(objectClass=user)'",
        directory.ca_path().display(),
        directory.ldaps_url(),
        directory.sync_account_dn(),
        directory.sync_password(),
    );
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
