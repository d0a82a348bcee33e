//! The files a domain controller is configured with: `smb.conf`, `krb5.conf`, its certificate.
//!
//! Invariant: every path in them is below the directory of that controller, so that controllers
//! never meet. Deliberately absent: everything that differs between tests; they share one shape.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{ADMIN_PASSWORD, DOMAIN, HOST, REALM};
use crate::program::run;

pub(super) const ADMIN_PASSWORD_FILE: &str = "admin-password";
/// Long enough that a template made today never expires under a test.
const CERTIFICATE_DAYS: &str = "3650";

pub(super) fn host_name() -> String {
    format!("{HOST}.{}", REALM.to_lowercase())
}

/// Writes all configuration for a controller in `directory` on `ip`.
pub(super) fn write(directory: &Path, ip: Ipv4Addr) -> Result<()> {
    for (name, mode) in [
        ("etc", 0o755),
        ("run", 0o755),
        ("run/ncalrpc", 0o755),
        // winbindd ends, and takes samba with it, when its directory has any other mode.
        ("run/winbindd", 0o755),
        ("run/ntp_signd", 0o750),
        ("log", 0o755),
        ("cache", 0o755),
        ("state", 0o755),
        ("bind-dns", 0o755),
        ("private", 0o700),
        ("private/tls", 0o700),
    ] {
        let path = directory.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    fs::write(directory.join("etc/smb.conf"), smb_conf(directory, ip))?;
    fs::write(directory.join("krb5.conf"), krb5_conf(directory, ip))?;
    let password_path = directory.join(ADMIN_PASSWORD_FILE);
    fs::write(&password_path, ADMIN_PASSWORD)?;
    fs::set_permissions(&password_path, Permissions::from_mode(0o600))?;
    Ok(())
}

/// `interfaces` must carry the mask /8 of the loopback interface: with any other smbd panics.
pub(super) fn smb_conf(directory: &Path, ip: Ipv4Addr) -> String {
    let host = HOST.to_uppercase();
    let dir = directory.display();
    format!(
        "[global]
    netbios name = {host}
    realm = {REALM}
    workgroup = {DOMAIN}
    server role = active directory domain controller
    server services = rpc, ldap, cldap, kdc
    interfaces = {ip}/8
    bind interfaces only = yes
    private dir = {dir}/private
    lock directory = {dir}
    state directory = {dir}/state
    cache directory = {dir}/cache
    binddns dir = {dir}/bind-dns
    pid directory = {dir}/run
    ncalrpc dir = {dir}/run/ncalrpc
    winbindd socket directory = {dir}/run/winbindd
    ntp signd socket directory = {dir}/run/ntp_signd
    log file = {dir}/log/samba.log
    max log size = 10000
    log level = 1
    ldap server require strong auth = yes
    ntlm auth = ntlmv2-only
    idmap_ldb:use rfc2307 = yes
    tls enabled = yes
    tls keyfile = {dir}/private/tls/key.pem
    tls certfile = {dir}/private/tls/cert.pem
    tls cafile = {dir}/private/tls/ca.pem
    load printers = no
    disable spoolss = yes
    printcap name = /dev/null
"
    )
}

fn krb5_conf(directory: &Path, ip: Ipv4Addr) -> String {
    let dir = directory.display();
    let realm = REALM.to_lowercase();
    format!(
        "[libdefaults]
    default_realm = {REALM}
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    default_ccache_name = FILE:{dir}/cc_%{{uid}}
    udp_preference_limit = 1
[realms]
    {REALM} = {{
        kdc = {ip}:88
        admin_server = {ip}
        kpasswd_server = {ip}:464
    }}
[domain_realm]
    .{realm} = {REALM}
    {realm} = {REALM}
"
    )
}

/// An authority of its own and a certificate with the names a verifying client needs; the one that
/// Samba makes by itself has no subject alternative name.
pub(super) fn make_certificate(directory: &Path, ip: Ipv4Addr) -> Result<()> {
    let tls = directory.join("private/tls");
    let name = host_name();
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        run(command.args(args).current_dir(&tls)).map(drop)
    };
    for key in ["ca.key.pem", "key.pem"] {
        openssl(&[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            key,
        ])?;
        fs::set_permissions(tls.join(key), Permissions::from_mode(0o600))?;
    }
    openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        "ca.key.pem",
        "-out",
        "ca.pem",
        "-days",
        CERTIFICATE_DAYS,
        "-subj",
        &format!("/CN=Rollcall lab authority {ip}"),
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ])?;
    openssl(&[
        "req",
        "-new",
        "-key",
        "key.pem",
        "-out",
        "csr.pem",
        "-subj",
        &format!("/CN={name}"),
    ])?;
    fs::write(
        tls.join("extensions"),
        format!(
            "subjectAltName=DNS:{name},IP:{ip}\nextendedKeyUsage=serverAuth,clientAuth\n\
             basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
        ),
    )?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "csr.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key.pem",
        "-CAcreateserial",
        "-days",
        CERTIFICATE_DAYS,
        "-sha256",
        "-out",
        "cert.pem",
        "-extfile",
        "extensions",
    ])
}
