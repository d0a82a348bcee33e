//! The configuration file: what is accepted, and what a person reads when it is not.

use std::path::Path;

use rollcall_agent::config::{Config, RemoveUserBehavior};
use rollcall_agent::engine::values::UserTarget;
use rollcall_agent::settings::Settings;
use rollcall_agent::stream::Stream;
use rollcall_kit::secret::SecretString;

const SMALL: &str = "
userpool_id: ek0aaaaaaaaaaaaaaaaa
hub: {address: 'hub.example:8443'}
cloud_credentials_file_path: key.json
working_directory: /var/lib/x
ldap: {host: 'ldaps://dc1.corp.example:636', username: 'CN=s,DC=corp,DC=example', password: 's3cret-value'}
sync_settings: {filter: {domain: corp.example}}
";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(
        &SecretString::new(text.to_owned()),
        Path::new("config.yaml"),
    )
    .map_err(|error| error.to_string())
}

fn with(line: &str) -> String {
    format!("{SMALL}{line}\n")
}

#[test]
fn the_sample_file_is_accepted() {
    let config = parse(include_str!("../config.example.yaml")).unwrap();
    assert_eq!(config.sync_settings.interval.as_secs(), 900);
    assert_eq!(config.sync_settings.filter.organization_units.len(), 1);
}

#[test]
fn every_published_key_is_known() {
    let config = parse(
        "
userpool_id: ek0aaaaaaaaaaaaaaaaa
agent_id: one
hub: {address: '[::1]:8443', ca_path: ca.pem}
working_directory: /var/lib/adsync
replication_tokens_path: /var/lib/adsync
check_config_permissions: false
cloud_credentials_file_path: key.json
use_metadata_service: false
enable_password_writeback: false
use_session_api: true
dry_run: {enabled: false}
drsr: {host: dc1.corp.example, username: svc-sync, password: '...', use_kerberos: false, use_windows_identity: false}
ldap: {host: 'ldaps://dc1.corp.example:636', username: 'CN=svc-sync,DC=corp,DC=example', password: '...', certificate_path: ca.pem, insecure_skip_verify: false, use_kerberos: false, use_windows_identity: false}
kerberos: {keytab_path: k, principal: p, krb5_config_path: c, disable_pa_fx_fast: true}
logger: {level: dpanic, format: json, file: {filename: adsync.log, maxsize: 30, maxbackups: 10}, cloud_logger: {}}
safety: {max_removals: 0}
streams: [account_state]
sync_settings:
  interval: 15m
  follow_period: 5s
  state_period: 1s
  hash_period: 2s
  allow_to_capture_users: true
  allow_to_capture_groups: true
  replacement_domain: pool.example
  user_attribute_mapping: [{source: mobile, target: PhoneNumber, type: direct}, {target: EmployeeId, type: empty}]
  group_attribute_mapping: [{source: info, target: Description, type: direct}]
  filter: {domain: corp.example, organization_units: ['OU=Staff,DC=corp,DC=example'], groups: [CloudUsers]}
  remove_user_behavior: block
  nested_groups: flatten
  name_sanitize: off
",
    )
    .unwrap();
    assert_eq!(
        config.sync_settings.remove_user_behavior,
        RemoveUserBehavior::Block
    );
    let settings = Settings::of_file(&config);
    let targets: Vec<_> = settings.mapping.user_targets().collect();
    assert!(!targets.contains(&UserTarget::EmployeeId));
    assert!(settings.mapping.attributes().any(|name| name == "mobile"));
    assert!(
        !settings
            .mapping
            .attributes()
            .any(|name| name == "telephonenumber")
    );
}

#[test]
fn unknown_keys_are_named_with_their_line_and_the_nearest_known_key() {
    for (text, key, nearest, line) in [
        (with("userpol_id: x"), "userpol_id", "userpool_id", 8),
        (
            with("safety: {max_removal: 3}"),
            "max_removal",
            "max_removals",
            8,
        ),
        (
            SMALL.replace(
                "{domain: corp.example}",
                "{domain: corp.example, organisation_units: []}",
            ),
            "organisation_units",
            "organization_units",
            7,
        ),
        (with("logger: {level: inof}"), "inof", "info", 8),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(&format!("\"{key}\"")), "{error}");
        assert!(error.contains(&format!("\"{nearest}\"")), "{error}");
        assert!(error.contains(&format!("line {line}")), "{error}");
    }
}

#[test]
fn wrong_values_are_named_by_their_key() {
    for (text, key) in [
        (
            SMALL.replace("hub.example:8443", "https://hub.example:8443"),
            "hub.address",
        ),
        (SMALL.replace("ldaps://", "ldap://"), "ldap.host"),
        (SMALL.replace("s3cret-value", ""), "ldap.password"),
        (
            SMALL.replace("domain: corp.example", "domain: 'corp example'"),
            "sync_settings.filter.domain",
        ),
        (
            with("use_metadata_service: true"),
            "use_metadata_service: not in this version",
        ),
        (
            with("drsr: {host: dc1, use_kerberos: true}"),
            "must use the same way to sign in",
        ),
        (
            with("drsr: {host: dc1, password: p}"),
            "drsr.username: missing",
        ),
        (
            with("drsr: {host: dc1, username: svc}"),
            "drsr.password: missing",
        ),
        (
            with("drsr: {host: dc1, username: svc, password: p, port: 0}"),
            "drsr.port",
        ),
        (
            with("streams: [password_hashes]"),
            "password_hashes needs the section drsr",
        ),
        (
            SMALL.replace("ldap: {", "ldap: {address: 'tcp://x', "),
            "ldap.address",
        ),
        (with("agent_id: ''"), "agent_id"),
        (with("streams: []"), "streams: empty"),
        (
            with("enable_password_writeback: false\nstreams: []"),
            "enable_password_writeback: true",
        ),
        (
            with("streams: [objects, objects]"),
            "streams: one is listed twice",
        ),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(key), "{key}: {error}");
        assert!(!error.contains("s3cret-value"), "{error}");
    }
}

const KERBEROS: &str = "
userpool_id: ek0aaaaaaaaaaaaaaaaa
hub: {address: 'hub.example:8443'}
cloud_credentials_file_path: key.json
working_directory: /var/lib/x
ldap: {host: dc1.corp.example, use_kerberos: true}
drsr: {host: dc1.corp.example, use_kerberos: true}
kerberos: {keytab_path: svc.keytab, principal: svc@CORP.EXAMPLE}
sync_settings: {filter: {domain: corp.example}}
";

#[test]
fn kerberos_needs_names_and_a_keytab_and_no_password() {
    let config = parse(KERBEROS).unwrap();
    let keytab = Path::new("/var/lib/x/svc.keytab").to_owned();
    assert!(config.secret_files().contains(&keytab));
    let other = |from: &str, to: &str| parse(&KERBEROS.replacen(from, to, 1)).unwrap_err();
    let host = "ldap: {host: dc1.corp.example";
    parse(&KERBEROS.replace(host, "ldap: {host: 'ldap://dc1.corp.example:389'")).unwrap();
    for (wrong, told) in [
        ("'ldaps://dc1.corp.example'", "write ldap://"),
        ("10.0.0.1", "full name"),
        ("'ldap://10.0.0.1:389'", "full name"),
        ("'[::1]'", "full name"),
        ("dc1", "full name"),
        ("'http://dc1.corp.example'", "ldap.host: must be a name"),
    ] {
        let error = other(host, &format!("ldap: {{host: {wrong}"));
        assert!(error.contains(told), "{wrong}: {error}");
    }
    for (from, to, told) in [
        (
            "drsr: {host: dc1.corp.example",
            "drsr: {host: 10.0.0.1",
            "drsr.host: Kerberos needs",
        ),
        (
            "use_kerberos: true",
            "use_kerberos: false",
            "must use the same way to sign in",
        ),
        (
            "keytab_path: svc.keytab, ",
            "",
            "kerberos.keytab_path: missing",
        ),
        ("svc@CORP.EXAMPLE", "'@CORP.EXAMPLE'", "kerberos.principal"),
        ("svc@CORP.EXAMPLE", "a@b@c", "kerberos.principal"),
        (", principal: svc@CORP.EXAMPLE", "", "kerberos.principal"),
        (
            "kerberos: {keytab_path: svc.keytab, principal: svc@CORP.EXAMPLE}\n",
            "",
            "kerberos: missing",
        ),
        (
            "use_kerberos: true",
            "use_kerberos: true, use_windows_identity: true",
            "exclude each other",
        ),
        (
            "use_kerberos: true",
            "use_windows_identity: true",
            "works only on Windows",
        ),
    ] {
        let error = other(from, to);
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn hashes_are_read_where_there_is_a_source() {
    let (objects, states) = (Stream::Objects, Stream::AccountState);
    let hashes = Stream::PasswordHashes;
    let drsr = "drsr: {host: dc1, username: svc, password: p}";
    let alone = with("enable_password_writeback: true\nstreams: []");
    assert!(parse(&alone).unwrap().enable_password_writeback);
    for (text, streams) in [
        (alone.clone(), Vec::new()),
        (SMALL.to_owned(), vec![objects, states]),
        (with(drsr), vec![objects, states, hashes]),
        (with(&format!("{drsr}\nstreams: [objects]")), vec![objects]),
        (
            with(&format!("{drsr}\nstreams: [password_hashes]")),
            vec![hashes],
        ),
    ] {
        assert_eq!(parse(&text).unwrap().streams(), streams, "{text}");
    }
}

#[test]
fn mappings_are_checked() {
    let base = SMALL.replace("}}\n", "}, user_attribute_mapping: [ITEMS]}\n");
    for (items, problem) in [
        ("{source: mail, target: Username, type: direct}", ""),
        ("{target: Username, type: empty}", "required"),
        ("{target: FullName, type: empty}", "required"),
        (
            "{source: mail, target: Email, type: empty}",
            "must be empty",
        ),
        (
            "{source: title, target: Email, type: direct}",
            "one of mail, userPrincipalName",
        ),
        (
            "{source: extensionAttribute1, target: Email, type: direct_arbitrary_attribute}",
            "",
        ),
        (
            "{source: unicodePwd, target: Email, type: direct_arbitrary_attribute}",
            "never copied",
        ),
        (
            "{source: 'a b', target: Email, type: direct_arbitrary_attribute}",
            "no name",
        ),
        (
            "{source: mail, target: Mail, type: direct}",
            "no such target",
        ),
        (
            "{target: Email, type: empty}, {source: mail, target: Email, type: direct}",
            "twice",
        ),
    ] {
        let text = base.replace("ITEMS", items);
        match (parse(&text), problem) {
            (Ok(_), "") => {}
            (Err(error), problem) if !problem.is_empty() => {
                assert!(error.contains(problem), "{error}");
            }
            (result, problem) => panic!("{items}: expected \"{problem}\", got {result:?}"),
        }
    }
}

#[test]
fn secrets_do_not_appear() {
    let config = parse(SMALL).unwrap();
    assert!(!format!("{config:?}").contains("s3cret-value"));
    let broken = SMALL.replace("password: 's3cret-value'", "password: [s3cret-value]");
    let error = parse(&broken).unwrap_err();
    assert!(!error.contains("s3cret-value"), "{error}");
    let no_colon = SMALL.replace("password: 's3cret-value'", "password s3cret-value");
    let error = parse(&no_colon).unwrap_err();
    assert!(
        error.contains("\"password\"") && !error.contains("s3cret-value"),
        "{error}"
    );
    let torn = SMALL.replace("'s3cret-value'}", "'s3cret-value");
    let error = parse(&torn).unwrap_err();
    assert!(!error.contains("s3cret-value"), "{error}");
}

#[test]
fn metrics_and_the_check_for_drift_have_their_keys() {
    let config = parse(&with(
        "metrics: {listen: '127.0.0.1:9465'}\ndrift: {check_period: 6h}",
    ))
    .unwrap();
    assert_eq!(config.metrics.listen.unwrap().port(), 9465);
    assert_eq!(config.drift.check_period.as_secs(), 6 * 3_600);
    let plain = parse(SMALL).unwrap();
    assert_eq!(plain.metrics.listen, None);
    assert_eq!(plain.drift.check_period.as_secs(), 24 * 3_600);
    let off = parse(&with("drift: {check_period: 0}")).unwrap();
    assert!(off.drift.check_period.is_zero());
    assert!(parse(&with("metrics: {listen: 'here'}")).is_err());
    assert!(parse(&with("drift: {check_perod: 1h}")).is_err());
}
