//! What good files mean.

use std::path::Path;
use std::time::Duration;

use http::Method;

use crate::config::model::{
    AccessLog, AccessLogSpec, AlertFormat, AlertSpec, CertificateSpec, CheckKind, CheckSpec, Config, Content,
    DockerSpec, JournalFile, LaneChoice, LimitsSpec, ListenAddress, ListenSpec, Origins, Preset, Protocol, SidecarSpec,
    Step, Threads, TlsSpec, TlsVersion, UpstreamSpec, UriRule,
};
use crate::config::{LoadedFiles, load, load_text};
use crate::types::{ByteSize, PathPrefix, UpstreamName};

use super::{fixtures, no_env};

fn loaded(name: &str) -> LoadedFiles {
    load(&Path::new("tests/fixtures/good_config").join(name), &no_env).unwrap()
}

fn upstream<'c>(config: &'c Config, name: &str) -> &'c UpstreamSpec {
    &config.site.upstreams[&UpstreamName::parse(name).unwrap()]
}

#[test]
fn good_files_load() {
    for path in fixtures("good_config", 6) {
        let loaded = load(&path, &no_env).unwrap_or_else(|report| panic!("{}:\n{report}", path.display()));
        assert!(loaded.config.site.to_upstreams().next().is_some(), "{}", path.display());
    }
}

#[test]
fn the_short_file_and_its_long_form_mean_the_same() {
    assert_eq!(loaded("short.yaml").config, loaded("long.yaml").config);
}

#[test]
fn the_short_file_has_no_warning_and_the_documented_defaults() {
    let short = loaded("short.yaml");
    assert_eq!(short.warnings, []);
    assert_eq!(short.config.process.listen, [ListenSpec::plain(ListenAddress::Port(80))]);
    assert_eq!(short.config.process.docker, DockerSpec::Auto);
    assert_eq!(short.config.process.threads, Threads::Auto, "what this machine has is not asked");
    let backend = upstream(&short.config, "backend");
    let steps = &backend.heal.as_ref().unwrap().steps;
    assert_eq!(steps, &[Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers)]);
    assert_eq!(upstream(&short.config, "database").check.as_ref().unwrap().kind, CheckKind::Tcp);
    assert_eq!(
        (backend.hold, upstream(&short.config, "database").hold),
        (Duration::from_secs(10), Duration::from_secs(10))
    );
    let routes: Vec<_> =
        short.config.site.to_upstreams().map(|(route, to)| (route.path.as_str(), to.as_str())).collect();
    assert_eq!(routes, [("/", "frontend"), ("/api", "backend")]);
}

#[test]
fn every_key_can_be_set() {
    let Config { process, site } = loaded("everything.yaml").config;
    let pair = |certificate: &str, key: &str| CertificateSpec { certificate: certificate.into(), key: key.into() };
    let relative = pair("tests/fixtures/good_config/tls/b.pem", "tests/fixtures/good_config/tls/b.key");
    let tls: Vec<_> = process.listen.iter().map(|listen| listen.tls.clone()).collect();
    let one = TlsSpec { certificates: vec![pair("/a.pem", "/a.key")], min: TlsVersion::Tls13 };
    let two = TlsSpec { certificates: vec![pair("/a.pem", "/a.key"), relative], min: TlsVersion::Tls12 };
    assert_eq!(tls, [None, None, None, None, Some(one), Some(two.clone()), Some(two)]);
    assert_eq!(process.threads, Threads::Count(2));
    let file = Some("/var/log/remora/access.log".into());
    assert_eq!(process.log.access, AccessLogSpec { form: AccessLog::CombinedWithId, file });
    assert_eq!(process.lane, LaneChoice::Full);
    assert_eq!(process.journal, JournalFile::At("/srv/heals.jsonl".into()));
    let alerts = process.alerts.as_ref().unwrap();
    assert_eq!((alerts.webhook.as_str(), alerts.format), ("https://hooks.example.com/x?token=1", AlertFormat::Slack));
    let sidecar = SidecarSpec { path: "/run/remora/heal.sock".into(), docker: Some("/var/run/docker.sock".into()) };
    assert_eq!(process.docker, DockerSpec::Sidecar(sidecar));
    let limits = LimitsSpec {
        body: ByteSize(0),
        keepalive: Duration::ZERO,
        client_timeout: Duration::from_secs(5),
        header_timeout: Duration::from_millis(100),
        header_size: ByteSize(60 << 10),
        headers: 256,
        uri: ByteSize(256),
        min_rate: ByteSize(0),
        requests: 0,
        lifetime: Duration::from_secs(7 * 24 * 3_600),
        connections: Some(1_000_000),
        connections_per_client: Some(1),
    };
    assert_eq!(process.limits, limits);
    assert_eq!(
        site.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.168.1.7/32", "fd00::/8"]
    );
    let route = &site.routes[2];
    assert_eq!((route.host.as_ref().unwrap().to_string().as_str(), route.path.as_str()), ("*.example.com", "/api"));
    let strip = UriRule::Strip(PathPrefix::parse("/api").unwrap());
    assert!(matches!(&route.content, Content::Proxy(proxy) if proxy.uri == strip));
    assert_eq!(route.body_limit, Some(ByteSize(1 << 30)));
    assert_eq!(site.routes[3].response.cors.as_ref().unwrap().origins, Origins::Any);
    let auth = site.routes[4].auth().unwrap();
    assert_eq!((auth.to.as_str(), auth.path.as_str()), ("users", "/verify?for=orders"));
    assert_eq!(auth.pass.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["x-user-id", "authorization"]);
    assert_eq!(auth.timeout, Duration::from_secs(60));
    assert_eq!(site.routes[3].auth(), None);
    let config = Config { process, site };
    let api = upstream(&config, "api");
    assert_eq!(api.servers.iter().map(|server| server.weight.get()).collect::<Vec<_>>(), [1, 5, 1]);
    let check = api.check.as_ref().unwrap();
    assert_eq!(check.timeout, check.every, "a default timeout is never longer than the pause");
    assert_eq!(api.retry.on.statuses, [502, 503]);
    assert_eq!(api.heal.as_ref().unwrap().steps.len(), 8);
    assert_eq!(api.heal.as_ref().unwrap().budget.window, Duration::from_secs(3600));
    checks_can_be_long(&config);
    let db = upstream(&config, "db");
    assert!(db.check.is_none() && db.heal.is_none() && db.retry.attempts == 0);
}

fn checks_can_be_long(config: &Config) {
    let check = |name: &str| upstream(config, name).check.clone().unwrap();
    let secs = Duration::from_secs;
    #[rustfmt::skip]
    let rows = [
        // upstream  asks                port         every    timeout  fall rise
        ("cache",    Protocol::Redis,    None,        secs(2), secs(1), 3,   2),
        ("orders",   Protocol::Postgres, None,        secs(5), secs(1), 3,   2),
        ("books",    Protocol::Mysql,    None,        secs(5), secs(2), 2,   1),
        ("stock",    Protocol::Postgres, Some(6_432), secs(2), secs(1), 3,   2),
        ("queue",    Protocol::Redis,    None,        secs(2), secs(1), 3,   1),
    ];
    for (name, protocol, port, every, timeout, fall, rise) in rows {
        let kind = CheckKind::Greeting(protocol);
        assert_eq!(check(name), CheckSpec { kind, port, every, timeout, fall, rise }, "{name}");
    }
    let pages = check("pages");
    let CheckKind::Http(page) = &pages.kind else { panic!("{pages:?}") };
    assert_eq!(
        (pages.port, &page.method, page.host.as_deref()),
        (Some(9_000), &Method::HEAD, Some("pages.example.com"))
    );
    let headers: Vec<_> = page.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("authorization", &b"Bearer none"[..]), ("x-probe", b"1")]);
    assert!(!format!("{pages:?}").contains("Bearer"), "it may be a secret");
}

#[test]
fn alerts_have_a_short_form_and_an_older_name() {
    let alerts = |lines: &str| {
        let text = format!("routes: {{ /: app }}\nupstreams: {{ app: app:80 }}\n{lines}\n");
        load_text(Path::new("remora.yaml"), text, &no_env).unwrap().config.process.alerts
    };
    let spec = |webhook: &str, format| Some(AlertSpec { webhook: webhook.to_owned(), format });
    let (slack, discord) = ("https://hooks.slack.com/services/T/B/x", "https://discord.com/api/webhooks/1/x");
    assert_eq!(alerts(""), None);
    assert_eq!(alerts("alerts: off"), None);
    assert_eq!(alerts(&format!("alerts: {slack}")), spec(slack, AlertFormat::Slack));
    assert_eq!(alerts(&format!("alerts: {{ webhook: \"{discord}\" }}")), spec(discord, AlertFormat::Discord));
    assert_eq!(
        alerts(&format!("alerts: {{ webhook: \"{discord}\", format: json }}")),
        spec(discord, AlertFormat::Json)
    );
    let older = "journal: { webhook: \"http://alerts.internal:8080/x\" }";
    assert_eq!(alerts(older), spec("http://alerts.internal:8080/x", AlertFormat::Json));
    assert!(!format!("{:?}", spec(slack, AlertFormat::Slack)).contains("services"), "it may be a secret");
}

#[test]
fn a_default_target_is_never_larger_than_the_head() {
    let text = "routes: { /: app }\nupstreams: { app: app:80 }\nlimits: { header_size: 1KiB }\n".to_owned();
    let limits = load_text(Path::new("remora.yaml"), text, &no_env).unwrap().config.process.limits;
    assert_eq!(limits, LimitsSpec { header_size: ByteSize(1 << 10), uri: ByteSize(1 << 10), ..LimitsSpec::default() });
}

#[test]
fn variables_stand_in_numbers_keys_and_texts() {
    let defaults = loaded("variables.yaml").config;
    assert_eq!(defaults.process.listen, [ListenSpec::plain(ListenAddress::Port(8080))]);
    let app = upstream(&defaults, "app");
    assert_eq!(app.servers[0].address.to_string(), "app:8000");
    assert_eq!((app.servers[0].weight.get(), app.hold), (2, Duration::from_secs(5)));
    let exec = ["sh", "-c", "kill -HUP $$(cat ${PIDFILE})"].map(str::to_owned).to_vec();
    assert_eq!(app.heal.as_ref().unwrap().steps, [Step::Exec(exec)]);

    let path = Path::new("tests/fixtures/good_config/variables.yaml");
    let set = |name: &str| (name == "REMORA_TEST_PORT").then(|| "9000".to_owned());
    assert_eq!(load(path, &set).unwrap().config.process.listen, [ListenSpec::plain(ListenAddress::Port(9000))]);
    let yaml = |name: &str| (name == "REMORA_TEST_PORT").then(|| "80\nadmin: off".to_owned());
    assert_eq!(load(path, &yaml).unwrap_err().problems(), 1, "a variable cannot add YAML");
}

#[test]
fn maps_are_merged_as_in_compose_files() {
    let loaded = loaded("merge.yaml");
    assert_eq!(loaded.warnings, []);
    let of = |name: &str| {
        let spec = upstream(&loaded.config, name);
        let check = spec.check.as_ref().unwrap();
        (spec.hold.as_secs(), spec.timeouts.read.as_secs(), check.every.as_secs(), check.fall)
    };
    assert_eq!(of("a"), (10, 60, 5, 2), "merged");
    assert_eq!(
        of("b"),
        (1, 600, 5, 2),
        "what is written out wins, wherever it stands; merged maps are merged themselves"
    );
    assert_eq!(of("c"), (2, 600, 1, 2), "of several maps the first wins, and a map below is no part of it");
}

#[test]
fn an_upstream_that_is_only_asked_has_its_use() {
    let text = "routes: { /: { to: app, auth: { to: users, path: /verify } } }\nupstreams:\n  app: app:80\n  users: { servers: users:80, check: off }\n".to_owned();
    let loaded = load_text(Path::new("remora.yaml"), text, &no_env).unwrap();
    assert_eq!(loaded.warnings, []);
    let auth = loaded.config.site.routes[0].auth().unwrap();
    assert_eq!((auth.pass.len(), auth.timeout), (0, Duration::from_secs(5)), "the documented defaults");
}

#[test]
fn odd_but_allowed_settings_are_warned_of() {
    let folder = std::env::temp_dir().join(format!("remora-warnings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("remora.yaml");
    let text = "trusted_proxies: 0.0.0.0/0\ninclude: x/*.yaml\nroutes: { api: app }\nupstreams:\n  app: { servers: app:80, heal: gunicorn }\n  idle: { servers: idle:80, check: off }\n";
    std::fs::write(&path, text).unwrap();
    let warnings: Vec<String> = load(&path, &no_env).unwrap().warnings.iter().map(ToString::to_string).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert!(warnings.iter().all(|warning| warning.contains("remora.yaml:")), "{warnings:#?}");
    for part in ["no file matches", "trusts every", "for a path write `/api`", "TCP check alone", "does nothing"] {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part} in {warnings:#?}");
    }
}
