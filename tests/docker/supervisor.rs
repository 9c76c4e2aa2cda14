//! supervisor's preset: told as its own user and with its own file, wherever that is.

use std::time::{Duration, Instant};

use remora::config::model::{Preset, Step};
use remora::heal::Feasibility;

use crate::bench::{Box, cure, docker, eventually, get, judged, programs, slim};

const PROGRAM: &str = "[program:web]\ncommand=gunicorn -b 0.0.0.0:80 app:wsgi\ndirectory=/srv\nstopwaitsecs=2\n\
                       stopasgroup=true\nkillasgroup=true\nstartsecs=0\n";

/// A supervisord with a file in a folder where supervisorctl does not look, or where it does.
fn starts() -> Vec<(&'static str, Box)> {
    let own = format!(
        "[unix_http_server]\nfile=/tmp/own.sock\n[supervisord]\npidfile=/tmp/own.pid\nlogfile=/tmp/own.log\n[rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\n\
         serverurl=unix:///tmp/own.sock\n{PROGRAM}"
    );
    let (program, own) = (format!("PROGRAM={PROGRAM}"), format!("OWN={own}"));
    let usual = "printf '%s' \"$PROGRAM\" >/etc/supervisor/conf.d/web.conf; exec supervisord -n -c \
                 /etc/supervisor/supervisord.conf";
    let elsewhere =
        "mkdir -p /opt/my; printf '%s' \"$OWN\" >/opt/my/own.conf; cd /opt; exec supervisord -n -c my/own.conf";
    let as_user = "printf '%s' \"$OWN\" >/tmp/own.conf; chmod a+r /tmp/own.conf; exec setpriv --reuid 10003 --regid 10003 \
                   --clear-groups supervisord -n --configuration=/tmp/own.conf";
    let child = "printf '%s' \"$OWN\" >/tmp/own.conf; supervisord -c /tmp/own.conf; exec sleep 3600";
    let run = |script: &str| Box::run("api", &["-e", &program, "-e", &own], &programs(), &["sh", "-c", script]);
    vec![
        ("the package's file", run(usual)),
        ("a file of its own, relative", run(elsewhere)),
        ("as a user, in root's container", run(as_user)),
        ("a daemon beside another PID 1", run(child)),
    ]
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn supervisord_is_told_as_its_own_user_with_its_own_file() {
    for (how, container) in starts() {
        let docker = docker();
        let address = container.answers();
        let before = get(address, "/", Duration::from_secs(1)).unwrap().1;
        let identity = container.identity();
        let said = judged(&docker, &container, Step::Preset(Preset::Supervisor("web".into()))).await;
        assert!(said.verdict == Feasibility::Works && said.note.contains("RUNNING"), "{how}: {said:?}");
        let said = judged(&docker, &container, Step::Preset(Preset::Supervisor("nosuch".into()))).await;
        assert!(said.verdict == Feasibility::Broken && said.note.contains("no such process"), "{how}: {said:?}");
        container.shell(&format!("kill -STOP {before}"));
        assert!(get(address, "/", Duration::from_millis(300)).is_err(), "{how}: frozen");
        let started = Instant::now();
        let done = cure(&docker, &container, Preset::Supervisor("web".into())).await;
        assert_eq!(done.code, Some(0), "{how}: {}", done.output);
        eventually("it answers again", || get(address, "/", Duration::from_millis(300)).is_ok());
        println!("{how}: step {:?}, answers after {:?}: {}", done.took, started.elapsed(), done.output);
        assert_ne!(get(address, "/", Duration::from_secs(1)).unwrap().1, before, "{how}");
        let done = cure(&docker, &container, Preset::Supervisor("nosuch".into())).await;
        assert!(done.code == Some(1) && done.output.contains("no such process"), "{how}: {done:?}");
        assert_eq!(container.identity(), identity, "{how}");
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn where_no_supervisord_runs_the_step_says_so() {
    for image in [slim(), programs()] {
        let (docker, container) = (docker(), Box::run("api", &[], &image, &["sleep", "3600"]));
        let done = cure(&docker, &container, Preset::Supervisor("web".into())).await;
        assert_eq!((done.code, done.output.as_str()), (Some(3), "supervisord is not running"));
        let said = judged(&docker, &container, Step::Preset(Preset::Supervisor("web".into()))).await;
        assert!(said.verdict == Feasibility::Broken && said.note.contains("supervisord is not running"), "{said:?}");
    }
}
