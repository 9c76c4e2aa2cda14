//! What Docker does with containers is heard as it happens, and what a heal does is not mistaken for it.

use std::time::Duration;

use remora::docker::{Happening, Seen};
use remora::types::OwnedTask;
use tokio::sync::mpsc;

use crate::bench::{Box, debian, docker, eventually, say};

/// The next thing heard of a container.
async fn next(heard: &mut mpsc::Receiver<Seen>, name: &str) -> Happening {
    let wait = async {
        loop {
            let seen = heard.recv().await.expect("the daemon is listened to");
            if seen.container.as_str() == name {
                return seen.what;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("heard in time")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker: make docker"]
async fn stops_starts_and_pauses_are_heard_and_a_reload_is_not() {
    let one = Box::run(
        "api",
        &["--stop-signal", "TERM"],
        &debian(),
        &["sh", "-c", "trap : HUP; while :; do sleep 0.1; done"],
    );
    let address = one.address(80);
    let (tell, mut heard) = mpsc::channel(64);
    let daemon = docker();
    let ear = OwnedTask::spawn(async move { daemon.watch(tell).await });
    let first = heard.recv().await.unwrap();
    assert_eq!(first.what, Happening::Starts, "who runs already is told first");
    say(&["kill", "-s", "HUP", &one.name]);
    say(&["exec", &one.name, "true"]);
    say(&["pause", &one.name]);
    // Nothing of the signal and the command in between.
    let mut seen = vec![];
    while seen.last() != Some(&Happening::Freezes) {
        seen.push(next(&mut heard, &one.name).await);
    }
    assert!(seen.len() <= 2, "{seen:?}");
    say(&["unpause", &one.name]);
    assert_eq!(next(&mut heard, &one.name).await, Happening::Starts);
    let stopping = std::thread::spawn({
        let name = one.name.clone();
        move || say(&["stop", "-t", "1", &name])
    });
    assert_eq!(
        next(&mut heard, &one.name).await,
        Happening::Stops,
        "from the moment it is told, not when it has ended"
    );
    stopping.join().unwrap();
    say(&["start", &one.name]);
    while next(&mut heard, &one.name).await == Happening::Stops {}
    assert_eq!(one.address(80).port(), address.port());
    drop(heard);
    eventually("it ends when nobody listens", || ear.is_finished());
}
