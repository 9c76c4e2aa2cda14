//! The watcher on real folders: each way an editor, a mount or an orchestrator changes a file is noticed once.

use std::fs;
use std::os::unix::fs::symlink;

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::super::request::{ReloadRequest, channel};
use super::*;
use crate::reload::testing::Folder;
use crate::types::OwnedTask;

struct Rig {
    inbox: Receiver<ReloadRequest>,
    sets: watch::Sender<WatchSet>,
    _task: OwnedTask,
}

impl Rig {
    /// A watcher that has asked for its first look already.
    async fn start(set: WatchSet, folders: fn(&Arc<Notify>) -> Folders) -> Self {
        let (handle, inbox) = channel();
        let (sets, receiver) = watch::channel(set);
        let watch = FileWatch::new(receiver, handle, folders);
        let mut rig = Self { inbox: inbox.reloads, sets, _task: OwnedTask::spawn(watch.run()) };
        rig.asks("the first look").await;
        rig
    }

    async fn asks(&mut self, name: &str) {
        let asked = timeout(Duration::from_secs(15), self.inbox.recv()).await;
        let request = asked.unwrap_or_else(|_| panic!("no reload after {name}")).expect("the watcher ended");
        assert_eq!(request.origin, ReloadOrigin::File);
    }

    /// Waits longer than the watcher gathers and polls.
    async fn stays_silent(&mut self, name: &str) {
        let asked = timeout(POLL + SETTLE_MOST, self.inbox.recv()).await;
        assert!(asked.is_err(), "a reload after {name}");
    }
}

fn set_of(files: &[&Path], folders: &[&Path]) -> WatchSet {
    WatchSet {
        files: files.iter().map(|path| path.to_path_buf()).collect(),
        folders: folders.iter().map(|path| path.to_path_buf()).collect(),
    }
}

#[tokio::test]
async fn every_way_to_write_a_file_is_noticed() {
    let folder = Folder::new();
    let file = folder.write("remora.yaml", "one");
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::new).await;

    folder.write("remora.yaml", "two");
    rig.asks("a write in place").await;

    fs::rename(folder.write("remora.yaml.new", "three"), &file).unwrap();
    rig.asks("a rename over the file").await;

    fs::rename(&file, folder.path().join("remora.yaml~")).unwrap();
    folder.write("remora.yaml", "four");
    rig.asks("vim's backup and write").await;

    fs::remove_file(&file).unwrap();
    rig.asks("a removal").await;
    folder.write("remora.yaml", "five");
    rig.asks("a file that comes back").await;
}

#[tokio::test]
async fn the_same_bytes_and_reads_ask_for_nothing() {
    let folder = Folder::new();
    let file = folder.write("remora.yaml", "one");
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::new).await;
    folder.write("remora.yaml", "one");
    folder.write(".remora.yaml.swp", "x");
    fs::read(&file).unwrap();
    rig.stays_silent("the same bytes").await;
}

#[tokio::test]
async fn a_burst_of_writes_is_one_reload() {
    let folder = Folder::new();
    let file = folder.write("remora.yaml", "start");
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::new).await;
    for index in 0..20 {
        folder.write("remora.yaml", &format!("version {index}"));
    }
    rig.asks("a burst").await;
    rig.stays_silent("the burst was read").await;
}

#[tokio::test]
async fn a_config_map_that_swaps_its_symlink_is_noticed() {
    let folder = Folder::new();
    folder.write("..first/remora.yaml", "one");
    folder.write("..second/remora.yaml", "two");
    symlink("..first", folder.path().join("..data")).unwrap();
    let file = folder.path().join("remora.yaml");
    symlink("..data/remora.yaml", &file).unwrap();
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::new).await;

    symlink("..second", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    rig.asks("a swapped symlink").await;

    folder.write("..second/remora.yaml", "three");
    rig.asks("a write behind the new symlink").await;
}

#[tokio::test]
async fn a_new_file_that_might_be_included_is_noticed() {
    let folder = Folder::new();
    let file = folder.write("conf/remora.yaml", "one");
    let upstreams = folder.path().join("upstreams");
    fs::create_dir(&upstreams).unwrap();
    let mut rig = Rig::start(set_of(&[&file], &[&upstreams]), Folders::new).await;
    folder.write("upstreams/api/upstream.yaml", "x");
    rig.asks("a new folder with a file").await;
}

#[tokio::test]
async fn a_folder_that_was_replaced_is_watched_again() {
    let folder = Folder::new();
    let file = folder.write("conf/remora.yaml", "one");
    let conf = folder.path().join("conf");
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::new).await;
    fs::rename(&conf, folder.path().join("old")).unwrap();
    folder.write("conf/remora.yaml", "two");
    rig.asks("a new folder of the same name").await;
    folder.write("conf/remora.yaml", "three");
    rig.asks("a write in the new folder").await;
}

#[tokio::test]
async fn without_events_the_poll_notices() {
    let folder = Folder::new();
    let file = folder.write("remora.yaml", "one");
    let mut rig = Rig::start(set_of(&[&file], &[]), Folders::silent).await;
    folder.write("remora.yaml", "two");
    rig.asks("a write on a mount without events").await;
    folder.write("remora.yaml", "two");
    rig.stays_silent("the same bytes").await;
}

#[tokio::test]
async fn files_that_a_reload_adds_are_watched() {
    let folder = Folder::new();
    let first = folder.write("remora.yaml", "one");
    let second = folder.write("more/extra.yaml", "one");
    let mut rig = Rig::start(set_of(&[&first], &[]), Folders::new).await;
    rig.sets.send(set_of(&[&first, &second], &[])).unwrap();
    rig.asks("a larger set").await;
    folder.write("more/extra.yaml", "two");
    rig.asks("a write to the new file").await;
}
