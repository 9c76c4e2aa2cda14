//! Gives memory that is no longer used back to the system. mimalloc does so when it is called much, or when a thread ends: an
//! edge that was busy and is idle now does neither.

use std::thread;
use std::time::Duration;

/// How often. What was freed a second before goes.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets a thread end every ten seconds; takes some ten microseconds each time.
pub(super) async fn give_back() {
    loop {
        tokio::time::sleep(PAUSE).await;
        // Where the system gives no thread there is nothing to be done.
        let _ = thread::Builder::new().name("memory".to_owned()).spawn(|| {});
    }
}
