//! Files themselves: missing, folders, too large, hostile; includes, and what a reload should watch.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{LoadedFiles, Report, load, load_kept};

use super::no_env;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("remora-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<LoadedFiles, Report> {
        load(&self.0.join("conf/remora.yaml"), &no_env)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const GOOD: &str = "routes: { /: app }\nupstreams: { app: { servers: \"app:80\" } }\n";

#[test]
fn what_cannot_be_read_is_one_clear_problem() {
    let folder = Folder::new("unreadable");
    assert!(folder.load().unwrap_err().to_string().contains("it does not exist"));
    fs::create_dir_all(folder.0.join("conf/remora.yaml")).unwrap();
    assert!(folder.load().unwrap_err().to_string().contains("this is a folder"));
    fs::remove_dir(folder.0.join("conf/remora.yaml")).unwrap();
    folder.write("conf/remora.yaml", "");
    assert!(folder.load().unwrap_err().to_string().contains("the file is empty"));
    let pipe = load(Path::new("/dev/null"), &no_env).unwrap_err();
    assert!(pipe.to_string().contains("not a regular file") && pipe.problems() == 1, "{pipe}");
}

#[test]
fn a_file_of_100_megabytes_is_refused_unread() {
    let folder = Folder::new("large");
    let path = folder.write("conf/remora.yaml", GOOD);
    fs::File::options().write(true).open(path).unwrap().set_len(100 << 20).unwrap();
    let started = Instant::now();
    let report = folder.load().unwrap_err().to_string();
    assert!(report.contains("larger than 1MiB"), "{report}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn hostile_texts_of_full_size_are_refused_soon() {
    let folder = Folder::new("hostile");
    let many = |part: &str| part.repeat((1 << 20) / part.len());
    #[rustfmt::skip]
    let texts = [
        many("["), many("{"), many("- "), many("? "), many("a: "), many("a:\n"), many("x"), many("&a "), many("*a "), many("!"),
        many("["). replacen('[', "]", 1), many("a: [b\n"), many("\"\\"), many("- &a [*a]\n"), many("{a: "), many("k: {}\n"),
        many("\u{1f600}"), many("#\n"), many("---\n"), many("\t"), many("\0"), many("'"), many("|\n"), many("a b\n"),
        (0..60_000).map(|n| format!("k{n}: v\n")).collect(),
        format!("routes:\n{}", (0..40_000).map(|n| format!("  /r{n}: app\n")).collect::<String>()),
        format!("upstreams:\n{}", (0..30_000).map(|n| format!("  u{n}: {{ servers: a }}\n")).collect::<String>()),
    ];
    for text in texts {
        folder.write("conf/remora.yaml", &text);
        let started = Instant::now();
        let report = folder.load().unwrap_err();
        let start: String = text.chars().take(20).collect();
        assert!(started.elapsed() < Duration::from_secs(20), "{start:?} took {:?}", started.elapsed());
        assert!(report.to_string().len() < 100_000, "{start:?}: {} bytes", report.to_string().len());
    }
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_fine() {
    let folder = Folder::new("windows");
    let plain = {
        folder.write("conf/remora.yaml", GOOD);
        folder.load().unwrap()
    };
    folder.write("conf/remora.yaml", format!("\u{feff}{}", GOOD.replace('\n', "\r\n")));
    let windows = folder.load().unwrap();
    assert_eq!(plain.config, windows.config);
    assert_ne!(plain.digest, windows.digest);
}

#[test]
fn includes_are_read_in_order_and_watched() {
    let folder = Folder::new("include");
    folder.write(
        "conf/remora.yaml",
        "include: [\"../up/*/upstream.yaml\", \"*.yaml\", extra/one.yaml]\nroutes: { /: b }\n",
    );
    folder.write("conf/extra/one.yaml", "upstreams: { one: \"one:80\" }\n");
    folder.write("up/b/upstream.yaml", "upstreams: { b: { servers: \"b:80\" } }\nroutes: { /b: b }\n");
    folder.write("up/a/upstream.yaml", "upstreams: { a: { servers: \"a:80\" } }\nroutes: { /a: a }\n");
    fs::create_dir_all(folder.0.join("up/later")).unwrap();

    let first = folder.load().unwrap();
    let paths: Vec<_> = first.config.site.to_upstreams().map(|(route, _)| route.path.to_string()).collect();
    assert_eq!(paths, ["/", "/a", "/b"]);
    assert_eq!(first.files.len(), 4, "the main file matches `*.yaml` too and counts once: {:?}", first.files);
    let watched = |wanted: &str| {
        let wanted = folder.0.join(wanted).canonicalize().unwrap();
        first.watch.iter().any(|path| path.canonicalize().unwrap() == wanted)
    };
    for wanted in ["conf", "conf/extra", "up", "up/a", "up/b", "up/later"] {
        assert!(watched(wanted), "{wanted} in {:?}", first.watch);
    }
    assert_eq!(folder.load().unwrap().digest, first.digest);
    folder.write("up/later/upstream.yaml", "upstreams: { later: { servers: \"later:80\" } }\n");
    let second = folder.load().unwrap();
    assert_eq!(second.files.len(), 5);
    assert_ne!(second.digest, first.digest);
}

#[test]
fn a_refused_configuration_still_says_what_to_watch() {
    let folder = Folder::new("refused");
    folder.write("conf/remora.yaml", "include: \"../up/*/upstream.yaml\"\nroutes: { /: a }\n");
    folder.write("up/a/upstream.yaml", "upstreams: { a: [\n");
    let report = folder.load().unwrap_err();
    assert_eq!(report.files().count(), 2);
    assert_eq!(report.watch().len(), 3);
    assert_eq!(report.problems(), 1, "{report}");
}

#[test]
fn a_missing_include_is_awaited_where_it_would_be() {
    let folder = Folder::new("missing");
    folder.write("conf/remora.yaml", format!("include: [../up/one.yaml]\n{GOOD}"));
    fs::create_dir_all(folder.0.join("up")).unwrap();
    let report = folder.load().unwrap_err();
    assert!(report.watch().contains(&folder.0.join("conf/../up")), "{:?}", report.watch());
}

#[test]
fn results_can_be_sent_between_threads() {
    fn sent<T: Send + Sync + 'static>() {}
    sent::<Result<LoadedFiles, Report>>();
}

#[test]
fn an_include_whose_folder_does_not_exist_watches_the_folder_above() {
    let folder = Folder::new("nofolder");
    folder.write("conf/remora.yaml", format!("include: \"none/*/x.yaml\"\n{GOOD}"));
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.watch.iter().all(|path| path.is_dir()), "{:?}", loaded.watch);
}

#[test]
fn what_was_kept_means_the_same_when_the_files_are_others_by_then() {
    let folder = Folder::new("kept");
    let main = folder
        .write("conf/remora.yaml", "include: [\"../upstreams/*.yaml\", \"${EXTRA:-more.yaml}\"]\nroutes: { /: app }\n");
    let fragment = folder.write("upstreams/app.yaml", "upstreams: { app: { servers: \"app:80\", hold: 3s } }\n");
    folder.write("conf/more.yaml", "upstreams: { other: \"other:80\" }\n");
    let before = folder.load().unwrap();
    assert_eq!(before.kept.files.len(), 3);
    folder.write("upstreams/new.yaml", "upstreams: { new: \"new:80\" }\n");
    fs::remove_file(fragment).unwrap();
    fs::remove_file(&main).unwrap();
    let again = load_kept(&main, &before.kept, &no_env).unwrap();
    assert_eq!((again.config, again.kept), (before.config, before.kept.clone()));

    let env = |name: &str| (name == "EXTRA").then(|| "x.yaml".to_owned());
    let report = load_kept(&main, &before.kept, &env).unwrap_err().to_string();
    assert!(report.contains("what `x.yaml` found was not kept"), "{report}");
    let report = load_kept(&folder.0.join("other.yaml"), &before.kept, &no_env).unwrap_err();
    assert!(report.brief().ends_with("this file is not among those that were kept"), "{}", report.brief());
}
