//! Rollbacks with real files and a publisher that takes everything.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use crate::reload::testing::{Folder, eventually};
use crate::reload::{FileLoader, Hangups, History, NotPublished, Parts, Published, Reload};
use crate::telemetry::{Alerts, Metrics};

#[derive(Default)]
struct Taking(AtomicU64);

#[async_trait]
impl Publish for Taking {
    async fn publish(&self, _: Config) -> Result<Published, NotPublished> {
        Ok(Published { generation: 2 + self.0.fetch_add(1, Ordering::SeqCst) })
    }
}

struct Rig {
    folder: Folder,
    main: PathBuf,
    reload: Reload,
}

fn routes(paths: &str) -> String {
    format!("include: \"parts/*.yaml\"\nroutes: {{ {paths} }}\nupstreams: {{ app: \"app:80\" }}\n")
}

fn start() -> Rig {
    let folder = Folder::new();
    let main = folder.write("remora.yaml", &routes("/a: app"));
    let (reload, _) = started(&folder, &main);
    Rig { reload, main, folder }
}

/// An edge's reloads with a history in the same folder.
fn started(folder: &Folder, main: &Path) -> (Reload, Arc<History>) {
    let history = Arc::new(History::in_file(folder.path().join("state"), &folder.path().join("journal")));
    let loader = FileLoader::new(main.to_owned());
    let (loaded, _) = loader.read().unwrap();
    let parts = Parts {
        loader,
        publisher: Taking::default(),
        running: loaded.config,
        generation: 1,
        watch: loaded.watch,
        kept: loaded.kept,
        changed_defaults: loaded.changed_defaults,
        metrics: Metrics::new().unwrap(),
        alerts: Alerts::default(),
        file: PathBuf::from("remora.yaml"),
        history: Arc::clone(&history),
    };
    (Reload::start(parts, Hangups::install()), history)
}

impl Rig {
    async fn save(&self, text: &str) -> Result<String, String> {
        write(&self.main, text);
        self.reload.handle().ask(ReloadOrigin::Admin).await.map(|reloaded| reloaded.summary)
    }

    async fn roll_back(&self, to: Option<u64>) -> Result<RolledBack, String> {
        self.reload.handle().roll_back(to).await
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.main).unwrap()
    }

    fn in_force(&self) -> u64 {
        self.reload.history().in_force().unwrap().id
    }

    fn entries(&self) -> Vec<(u64, HistoryResult)> {
        let entries = self.reload.history().entries().into_iter();
        entries.map(|shown| (shown.entry.id, shown.entry.result)).collect()
    }
}

/// At once, as editors do: the watcher may look at any moment.
fn write(file: &Path, text: &str) {
    let beside = file.with_file_name(".beside");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, file).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_rollback_writes_the_files_and_is_undone_by_another() {
    let rig = start();
    let (first, second) = (routes("/a: app"), routes("/b: app"));
    rig.save(&second).await.unwrap();
    let done = rig.roll_back(None).await.unwrap();
    assert_eq!((done.to, done.written.as_slice(), &done.not_written), (1, &[rig.main.clone()][..], &None));
    assert_eq!((done.reloaded.summary.as_str(), done.replaced), ("1 route added (/a), 1 route removed (/b)", Some(2)));
    assert_eq!(rig.text(), first);
    assert_eq!(rig.reload.handle().ask(ReloadOrigin::Admin).await.unwrap().summary, diff::NOTHING);
    assert_eq!(rig.roll_back(None).await.unwrap().to, 2);
    assert_eq!((rig.text(), rig.in_force()), (second, 4));
    assert_eq!(rig.reload.last().get().unwrap().origin, ReloadOrigin::Rollback);
}

#[tokio::test]
async fn a_fragment_that_came_since_is_set_aside_and_one_that_went_is_made_again() {
    let rig = start();
    rig.folder.write("parts/x.yaml", "upstreams: { x: \"x:80\" }\n");
    assert_eq!(rig.save(&rig.text()).await.unwrap(), "1 upstream added (x)");
    let done = rig.roll_back(None).await.unwrap();
    let (x, aside) = (rig.folder.path().join("parts/x.yaml"), rig.folder.path().join("parts/.x.yaml.before-rollback"));
    assert_eq!((done.set_aside, done.not_written), (vec![(x.clone(), aside)], None));
    assert!(!x.exists());
    let done = rig.roll_back(None).await.unwrap();
    assert_eq!((done.written.as_slice(), done.not_written), (&[x.clone()][..], None));
    assert_eq!(fs::read_to_string(x).unwrap(), "upstreams: { x: \"x:80\" }\n");
}

#[tokio::test]
async fn a_refused_file_gets_back_what_is_in_force_and_what_it_said_is_kept() {
    let rig = start();
    rig.folder.write("parts/x.yaml", "upstreams: { x: \"x:80\" }\n");
    rig.save(&rig.text()).await.unwrap();
    // A file that cannot be read as YAML names no others.
    rig.save("routes: [broken").await.unwrap_err();
    rig.folder.write("parts/y.yaml", "upstreams: { y: \"y:80\" }\n");
    let done = rig.roll_back(None).await.unwrap();
    assert_eq!((done.to, done.reloaded.summary.as_str(), done.replaced), (2, diff::NOTHING, Some(3)));
    assert_eq!((done.written, done.not_written), (vec![rig.main.clone()], None));
    assert_eq!((rig.text(), done.set_aside.len()), (routes("/a: app"), 1), "y.yaml was never in force");
    // What was never read is kept too.
    write(&rig.main, "routes: { /never: read }");
    let replaced = rig.roll_back(Some(1)).await.unwrap().replaced.unwrap();
    let entries = rig.reload.history().entries();
    let entry = entries.iter().find(|shown| shown.entry.id == replaced).unwrap();
    assert!(entry.kept && matches!(entry.entry.result, HistoryResult::Replaced | HistoryResult::Refused), "{entry:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_overruled_until_it_is_read_again() {
    let rig = start();
    let second = routes("/b: app");
    rig.save(&second).await.unwrap();
    mode(&rig.main, 0o444);
    let done = rig.roll_back(None).await.unwrap();
    assert!(done.not_written.unwrap().ends_with("remora.yaml is read-only"));
    assert_eq!((rig.text(), rig.reload.history().overrules()), (second.clone(), Some(3)));
    // The watcher looks again at what did not change.
    rig.reload.handle().request(ReloadOrigin::File);
    assert_eq!(rig.roll_back(Some(77)).await.unwrap_err(), "there is no entry 77; `remora history` lists them");
    assert_eq!((rig.in_force(), rig.reload.history().overrules()), (3, Some(3)));
    let reloaded = rig.reload.handle().ask(ReloadOrigin::Admin).await.unwrap();
    assert_eq!(reloaded.summary, "1 route added (/b), 1 route removed (/a)");
    assert_eq!((rig.in_force(), rig.reload.history().overrules()), (4, None));
    // Once more; now the file changes.
    rig.roll_back(None).await.unwrap();
    assert!(rig.reload.history().overrules().is_some());
    mode(&rig.main, 0o644);
    write(&rig.main, &routes("/c: app"));
    eventually("the change is in force", || rig.reload.history().overrules().is_none()).await;
    assert_eq!(rig.in_force(), 6);
}

#[tokio::test]
async fn what_is_not_right_any_more_is_refused_and_nothing_is_lost() {
    let rig = start();
    rig.save("routes: { /: nowhere }").await.unwrap_err();
    let second = format!("threads: 3\n{}", routes("/b: app"));
    assert!(rig.save(&second).await.unwrap_err().contains("restart"));
    let told = rig.roll_back(Some(2)).await.unwrap_err();
    assert!(told.starts_with("entry 2 cannot be brought back:\n") && told.contains("`nowhere`"), "{told}");
    assert!(rig.roll_back(Some(3)).await.unwrap_err().contains("threads: changed from auto to 3"));
    assert_eq!((rig.text(), rig.in_force()), (second, 1));
    use HistoryResult::{Accepted, Refused};
    assert_eq!(rig.entries(), [(1, Accepted), (2, Refused), (3, Refused), (4, Refused), (5, Refused)]);
}

#[tokio::test]
async fn a_start_with_another_file_is_an_entry_and_one_with_the_same_is_none() {
    let rig = start();
    rig.save(&routes("/b: app")).await.unwrap();
    let Rig { folder, main, reload } = rig;
    drop(reload);
    let again = |text: &str| {
        write(&main, text);
        started(&folder, &main)
    };
    let (same, history) = again(&routes("/b: app"));
    same.handle().ask(ReloadOrigin::Admin).await.unwrap();
    assert_eq!(history.entries().len(), 2);
    drop(same);
    let (commented, history) = again(&format!("# why\n{}", routes("/b: app")));
    commented.handle().ask(ReloadOrigin::Admin).await.unwrap();
    assert_eq!(history.entries().len(), 2, "comments are no other configuration");
    drop(commented);
    let (other, history) = again(&format!("threads: 3\n{}", routes("/c: app")));
    other.handle().ask(ReloadOrigin::Admin).await.unwrap();
    let last = history.entries().pop().unwrap().entry;
    assert_eq!((last.id, last.origin.as_str()), (3, "start"));
    assert_eq!(last.differences, "threads: changed from auto to 3; 1 route added (/c), 1 route removed (/b)");
}
