//! The loop with a scripted file and a publisher that counts: what comes into force, what does not, and who is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use crate::config::model::{ListenAddress, ListenSpec};
use crate::reload::testing::{Folder, config, eventually, route, site};
use crate::reload::{Hangups, NotPublished, Published, Reload};
use crate::types::OwnedTask;

/// What the file says now.
#[derive(Clone)]
struct Script(Arc<Mutex<Result<Config, String>>>);

impl Script {
    fn says(&self, next: Result<Config, &str>) {
        *self.0.lock().unwrap() = next.map_err(str::to_owned);
    }
}

impl LoadConfig for Script {
    fn load(&self) -> Result<LoadedConfig, Rejected> {
        match self.0.lock().unwrap().clone() {
            Ok(config) => Ok(LoadedConfig {
                config,
                watch: WatchSet::default(),
                kept: KeptFiles::default(),
                changed_defaults: Vec::new(),
            }),
            Err(report) => Err(Rejected { report, ..Rejected::default() }),
        }
    }

    fn load_kept(&self, _: &KeptFiles) -> Result<LoadedConfig, Rejected> {
        self.load()
    }
}

#[derive(Clone, Default)]
struct Counting {
    entered: Arc<AtomicU64>,
    published: Arc<AtomicU64>,
    gate: Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl Publish for Counting {
    async fn publish(&self, config: Config) -> Result<Published, NotPublished> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.lock().await;
        if config.site.to_upstreams().next().is_none() {
            return Err(NotPublished("no route would be left".into()));
        }
        Ok(Published { generation: 2 + self.published.fetch_add(1, Ordering::SeqCst) })
    }
}

fn start() -> (Reload, Script, Counting, Arc<Metrics>) {
    let script = Script(Arc::new(Mutex::new(Ok(config("/")))));
    let publisher = Counting::default();
    let metrics = Metrics::new().unwrap();
    metrics.config_in_force(1);
    let reload = Reload::start(
        Parts {
            loader: script.clone(),
            publisher: publisher.clone(),
            running: config("/"),
            generation: 1,
            watch: WatchSet::default(),
            kept: KeptFiles::default(),
            changed_defaults: Vec::new(),
            metrics: Arc::clone(&metrics),
            alerts: Alerts::default(),
            file: "remora.yaml".into(),
            history: Arc::default(),
        },
        Hangups::install(),
    );
    (reload, script, publisher, metrics)
}

#[tokio::test]
async fn a_good_file_comes_into_force_and_is_summed_up() {
    let (reload, script, _, metrics) = start();
    let same = reload.handle().ask(ReloadOrigin::Admin).await.unwrap();
    assert_eq!((same.generation, &*same.summary), (1, "nothing changed"));
    let mut next = config("/");
    next.site = site(vec![route("/", "backend"), route("/x", "backend")]);
    script.says(Ok(next));
    let reloaded = reload.handle().ask(ReloadOrigin::Admin).await.unwrap();
    assert_eq!((reloaded.generation, &*reloaded.summary), (2, "1 route added (/x)"));
    let text = metrics.render();
    assert!(text.contains("remora_config_generation 2\n"), "{text}");
    assert!(text.contains("remora_reloads_total{origin=\"admin\",result=\"accepted\"} 2\n"), "{text}");
    assert_eq!(reload.last().get().unwrap().result, Ok(reloaded));
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_its_report_stays_until_a_good_one() {
    let (reload, script, publisher, metrics) = start();
    script.says(Err("error: no upstream is named `apii`\n  --> remora.yaml:41:11"));
    let report = reload.handle().ask(ReloadOrigin::Admin).await.unwrap_err();
    assert!(report.contains("remora.yaml:41:11"), "{report}");
    assert_eq!(publisher.published.load(Ordering::SeqCst), 0);
    assert!(metrics.render().contains("remora_config_last_reload_successful 0\n"));
    assert_eq!(reload.last().get().unwrap().result, Err(report));

    script.says(Ok(config("/")));
    reload.handle().request(ReloadOrigin::File);
    eventually("the error is gone", || reload.last().get().is_some_and(|last| last.result.is_ok())).await;
    assert!(metrics.render().contains("remora_config_last_reload_successful 1\n"));
    assert_eq!(publisher.published.load(Ordering::SeqCst), 0, "the file equals what runs");
}

#[tokio::test]
async fn a_changed_process_setting_is_refused_by_name() {
    let (reload, script, publisher, _) = start();
    let mut next = config("/other");
    next.process.listen = vec![ListenSpec::plain(ListenAddress::Port(8080))];
    script.says(Ok(next));
    let report = reload.handle().ask(ReloadOrigin::Admin).await.unwrap_err();
    assert!(report.starts_with("listen: changed from 80 to 8080\n"), "{report}");
    assert!(report.contains("docker compose restart"), "{report}");
    assert_eq!(publisher.published.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_cannot_be_built_is_refused() {
    let (reload, script, _, _) = start();
    let mut next = config("/");
    next.site.routes.clear();
    script.says(Ok(next));
    let report = reload.handle().ask(ReloadOrigin::Admin).await.unwrap_err();
    assert_eq!(report, "no route would be left\nThe running configuration (generation 1) is unchanged.");
    script.says(Ok(config("/again")));
    assert_eq!(reload.handle().ask(ReloadOrigin::Admin).await.unwrap().generation, 2, "the loop goes on");
}

#[tokio::test]
async fn requests_during_a_reload_lead_to_one_more() {
    let (reload, script, publisher, _) = start();
    reload.handle().ask(ReloadOrigin::Admin).await.unwrap();
    let gate = publisher.gate.lock().await;
    script.says(Ok(config("/first")));
    let asking = OwnedTask::spawn({
        let handle = reload.handle().clone();
        async move {
            let _ = handle.ask(ReloadOrigin::Admin).await;
        }
    });
    eventually("the first is being published", || publisher.entered.load(Ordering::SeqCst) == 1).await;
    assert!(!asking.is_finished());
    for index in 0..100 {
        script.says(Ok(config(&format!("/n{index}"))));
        reload.handle().request(ReloadOrigin::Signal);
    }
    drop(gate);
    eventually("the last is in force", || {
        reload.last().get().is_some_and(|last| last.result.as_ref().is_ok_and(|it| it.summary.contains("/n99")))
    })
    .await;
    let published = publisher.published.load(Ordering::SeqCst);
    assert!((1..=3).contains(&published), "published {published} times");
}

/// A file of one line: the path of its route.
struct OneLine(std::path::PathBuf);

impl LoadConfig for OneLine {
    fn load(&self) -> Result<LoadedConfig, Rejected> {
        let watch = WatchSet { files: [self.0.clone()].into(), ..WatchSet::default() };
        match std::fs::read_to_string(&self.0) {
            Ok(text) if text.starts_with('/') => Ok(LoadedConfig {
                config: config(text.trim()),
                watch,
                kept: KeptFiles::default(),
                changed_defaults: Vec::new(),
            }),
            Ok(text) => Err(Rejected { report: format!("`{text}` is not a path"), watch, ..Rejected::default() }),
            Err(error) => Err(Rejected { report: error.to_string(), watch, ..Rejected::default() }),
        }
    }

    fn load_kept(&self, _: &KeptFiles) -> Result<LoadedConfig, Rejected> {
        self.load()
    }
}

#[tokio::test]
async fn an_edit_comes_into_force_by_itself_and_a_bad_one_is_shown() {
    let folder = Folder::new();
    let file = folder.write("remora.yaml", "/");
    let publisher = Counting::default();
    let reload = Reload::start(
        Parts {
            loader: OneLine(file.clone()),
            publisher: publisher.clone(),
            running: config("/"),
            generation: 1,
            watch: WatchSet { files: [file].into(), ..WatchSet::default() },
            kept: KeptFiles::default(),
            changed_defaults: Vec::new(),
            metrics: Metrics::new().unwrap(),
            alerts: Alerts::default(),
            file: "remora.yaml".into(),
            history: Arc::default(),
        },
        Hangups::install(),
    );
    folder.write("remora.yaml", "/one");
    eventually("the edit is in force", || publisher.published.load(Ordering::SeqCst) == 1).await;
    folder.write("remora.yaml", "broken");
    eventually("the report is shown", || reload.last().get().is_some_and(|last| last.result.is_err())).await;
    std::fs::remove_file(folder.path().join("remora.yaml")).unwrap();
    folder.write("remora.yaml", "/two");
    eventually("the repair is in force", || publisher.published.load(Ordering::SeqCst) == 2).await;
    assert_eq!(reload.last().get().unwrap().origin, ReloadOrigin::File);
}
