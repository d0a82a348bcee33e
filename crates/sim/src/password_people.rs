//! What people do about passwords, in the directory and at the hub, and what breaks.
//!
//! Invariant: new passwords are new but for the times when somebody takes an old one again. Nobody
//! acts in calm weather.

use rollcall_agent::engine::Guid;
use rollcall_domain::password::PasswordKind;
use rollcall_domain::password_writeback::WritebackCause;
use rollcall_kit::timestamp::Span;

use crate::password_directory::Source;
use crate::password_hub::Setting;
use crate::password_link::seconds_span;
use crate::password_world::PasswordWorld;

/// How long an agent, a hub or the directory is away.
const AWAY_SECONDS_MAX: usize = 40;
/// An agent may be stopped for longer than its session and all operations live.
const STALL_SECONDS_MAX: usize = 120;
/// Accounts of a domain.
const ACCOUNTS_MAX: usize = 5;

/// Somebody does something.
pub fn any(world: &mut PasswordWorld) {
    let guids: Vec<Guid> = world.directory.iter().map(|(guid, _)| guid).collect();
    let changing: Vec<Guid> = world
        .hub
        .pending()
        .iter()
        .filter_map(|pending| Guid::parse(&pending.external_user_id))
        .filter(|guid| guids.contains(guid))
        .collect();
    // What happens to somebody whose change is on its way is what matters.
    let some = match world.dice.chance(500) && !changing.is_empty() {
        true => &changing,
        false => &guids,
    };
    let Some(guid) = world.dice.pick(some) else {
        return join(world);
    };
    match world.dice.below(100) {
        0..=17 => change_in_directory(world, guid),
        18..=27 => reset_in_directory(world, guid),
        28..=31 => mistype(world, guid),
        32..=61 => change_at_hub(world, guid),
        62..=81 => reset_at_hub(world, guid),
        82..=86 => cancel(world),
        87..=92 => move_account(world, guid),
        93 => world.directory.delete(guid),
        94..=95 => join(world),
        _ => world.hub.strengthen(),
    }
}

/// Something breaks.
pub fn fault(world: &mut PasswordWorld) {
    let agent = world.dice.below(world.agents.len());
    let process = world.dice.below(world.processes.len());
    match world.dice.below(100) {
        0..=29 => world.kill_agent(agent),
        30..=49 => {
            let seconds = world.dice.below(STALL_SECONDS_MAX);
            let until = world.now.plus(seconds_span(seconds));
            if let Some(agent) = world.agents.get_mut(agent) {
                agent.away_until = until;
            }
            world.coverage.count("stalls");
        }
        50..=64 => world.cut_streams(agent),
        65..=79 => world.kill_hub(process),
        80..=89 => {
            let seconds = world.dice.below(AWAY_SECONDS_MAX);
            world.directory_away_until = world.now.plus(seconds_span(seconds));
        }
        _ => {
            world.hub.cursor = None;
            world.coverage.count("cursors_lost");
        }
    }
}

/// How long something that was killed is away.
pub fn away(world: &PasswordWorld) -> Span {
    seconds_span(world.dice.below(AWAY_SECONDS_MAX))
}

fn new_password(world: &mut PasswordWorld, guid: Guid) -> String {
    let had: Vec<String> = world
        .directory
        .taken
        .iter()
        .filter(|taken| taken.guid == guid)
        .map(|taken| taken.password.clone())
        .collect();
    match world.dice.chance(150) {
        true => world.dice.pick(&had).unwrap_or_default(),
        false => world.new_password(),
    }
}

fn change_in_directory(world: &mut PasswordWorld, guid: Guid) {
    let Some(account) = world.directory.get(guid) else {
        return;
    };
    let old = account.password.clone();
    let (new, now) = (new_password(world, guid), world.now);
    let changed = world.directory.change(guid, &old, new, Source::Person, now);
    if changed.is_ok() {
        world.coverage.count("changed_in_directory");
    }
}

fn reset_in_directory(world: &mut PasswordWorld, guid: Guid) {
    let (new, now) = (new_password(world, guid), world.now);
    let must_change = world.dice.chance(400);
    let source = Source::Administrator;
    let reset = world.directory.reset(guid, new, must_change, source, now);
    if reset.is_ok() {
        world.coverage.count("reset_in_directory");
    }
}

fn mistype(world: &mut PasswordWorld, guid: Guid) {
    let now = world.now;
    world.directory.sign_in(guid, "mistyped", now);
}

fn change_at_hub(world: &mut PasswordWorld, guid: Guid) {
    let Some(stored) = world.hub.stored(guid) else {
        return;
    };
    let kind = stored.kind;
    let Some(present) = world.hub.opens_with(guid) else {
        return;
    };
    let (cause, old) = match kind {
        PasswordKind::Permanent => (WritebackCause::OwnChange, Some(present)),
        PasswordKind::Temporary => (WritebackCause::RequiredChange, None),
    };
    let setting = Setting {
        new: new_password(world, guid),
        old,
        cause,
        kind: PasswordKind::Permanent,
    };
    begin(world, guid, setting);
}

fn reset_at_hub(world: &mut PasswordWorld, guid: Guid) {
    let kind = world
        .dice
        .one_of(PasswordKind::Permanent, &[PasswordKind::Temporary]);
    let setting = Setting {
        new: new_password(world, guid),
        old: None,
        cause: WritebackCause::Reset,
        kind,
    };
    begin(world, guid, setting);
}

fn begin(world: &mut PasswordWorld, guid: Guid, setting: Setting) {
    // The hub compares a new password with the present one.
    let is_present = world.hub.opens_with(guid).as_ref() == Some(&setting.new);
    if !world.hub_is_reached() || is_present {
        return;
    }
    let now = world.now;
    match world.hub.begin(guid, setting, now) {
        Ok(()) => world.coverage.count("begun"),
        Err(_) => world.coverage.count("not_begun"),
    }
}

fn cancel(world: &mut PasswordWorld) {
    let pending: Vec<_> = world
        .hub
        .pending()
        .iter()
        .map(|pending| pending.operation_id.clone())
        .collect();
    if let Some(id) = world.dice.pick(&pending) {
        let now = world.now;
        world.hub.cancel(&id, now);
    }
}

fn move_account(world: &mut PasswordWorld, guid: Guid) {
    let in_scope = world.dice.chance(600);
    world.directory.put_in_scope(guid, in_scope);
}

/// A new account.
pub fn join(world: &mut PasswordWorld) {
    if world.directory.iter().count() >= ACCOUNTS_MAX {
        return;
    }
    let guid = Guid::from_number(u128::from(world.new_number()));
    let (password, now) = (world.new_password(), world.now);
    world.directory.create(guid, password, now);
}
