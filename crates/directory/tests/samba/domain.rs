//! A domain of the lab and connections to it.

// Each test program uses a part of it.
#![allow(dead_code)]

use rollcall_directory::{Bind, Connection, Options};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::{Dc, DcOptions, Fill};

pub fn filled() -> Dc {
    Dc::start(&DcOptions {
        fill: Some(Fill::default()),
    })
    .unwrap()
}

pub fn options_for(dc: &Dc, account: &str, password: &str) -> Options {
    let bind = Bind::Simple {
        account: account.to_owned(),
        password: SecretString::new(password.to_owned()),
    };
    Options {
        ca_path: Some(dc.ca_path()),
        ..Options::new(dc.ldaps_url(), bind)
    }
}

pub fn options(dc: &Dc) -> Options {
    options_for(dc, &dc.sync_account_dn(), dc.sync_password())
}

pub async fn connect(dc: &Dc) -> Connection {
    Connection::open(&options(dc)).await.unwrap()
}
