//! Whose container a backend is, seen from the host and from inside a container of the project.

use std::process::Command as Process;

use remora::docker::{ContainerState, FindError, RestartPolicy};

use crate::bench::{Box, cli, debian, docker, say};

fn sleeper(service: &str, options: &[&str]) -> Box {
    Box::run(service, options, &debian(), &["sleep", "3600"])
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn on_a_host_the_first_project_found_is_the_only_one() {
    let docker = docker();
    let one = sleeper("api", &["--restart", "on-failure:3", "--stop-signal", "SIGQUIT"]);
    let other = sleeper("api", &[]);
    let found = docker.find(one.address(80), "whatever").await.unwrap();
    assert_eq!(found.name.as_str(), one.name);
    assert_eq!((found.state, found.restart_policy), (ContainerState::Running, RestartPolicy::OnFailure));
    assert_eq!((found.stop_signal.as_deref(), found.command[0].as_str()), (Some("SIGQUIT"), "sleep"));
    assert!(found.started_at.is_some_and(|start| start.elapsed().is_ok_and(|age| age.as_secs() < 60)));
    let error = docker.find(other.address(80), "api").await.unwrap_err();
    assert!(matches!(&error, FindError::Foreign { owner, .. } if owner.contains(&other.project)), "{error}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_container_without_a_project_is_nobodys() {
    let (docker, name) = (docker(), format!("remora-test-stray-{}", std::process::id()));
    say(&["run", "-d", "--name", &name, &debian(), "sleep", "3600"]);
    let ip = say(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &name]);
    let result = docker.find(format!("{ip}:80").parse().unwrap(), "api").await;
    cli(&["rm", "-f", &name]);
    assert!(matches!(result, Err(FindError::Foreign { .. })), "{result:?}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn published_ports_lead_to_their_container() {
    let (docker, one) = (docker(), sleeper("api", &["-p", "127.0.0.1::8000"]));
    let published = say(&["port", &one.name, "8000/tcp"]);
    assert_eq!(docker.find(published.parse().unwrap(), "localhost").await.unwrap().name.as_str(), one.name);
}

/// Runs this very test program in a container, where [`inside_a_container`] looks around.
#[test]
#[ignore = "needs Docker: make test"]
fn in_a_container_the_edge_knows_itself_and_its_project() {
    let network = format!("remora-test-net-{}", std::process::id());
    say(&["network", "create", &network]);
    let exe = std::env::current_exe().unwrap();
    let mount = format!("{}:/edge:ro", exe.display());
    let api = sleeper("api", &["--network", &network]);
    let stranger = sleeper("api", &["--network", &network]);
    let project = format!("com.docker.compose.project={}", api.project);
    let (api_address, stranger_address) = (api.address(80).to_string(), stranger.address(80).to_string());
    let edge = format!("{}_manager_1", api.project);
    let output = cli(&[
        "run",
        "--rm",
        "--name",
        &edge,
        "--hostname",
        "manager",
        "--network",
        &network,
        "--label",
        &project,
        "--label",
        "com.docker.compose.service=manager",
        "-v",
        "/var/run/docker.sock:/var/run/docker.sock",
        "-v",
        &mount,
        "-e",
        &format!("API={api_address}"),
        "-e",
        &format!("API_NAME={}", api.name),
        "-e",
        &format!("STRANGER={stranger_address}"),
        &debian(),
        "/edge",
        "--ignored",
        "--exact",
        "find::inside_a_container",
        "--nocapture",
    ]);
    drop((api, stranger));
    cli(&["network", "rm", &network]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by in_a_container_the_edge_knows_itself_and_its_project"]
async fn inside_a_container() {
    let Ok(api) = std::env::var("API") else { return };
    let docker = docker();
    let found = docker.find(api.parse().unwrap(), "api").await.unwrap();
    assert_eq!(found.name.as_str(), std::env::var("API_NAME").unwrap());
    let stranger = std::env::var("STRANGER").unwrap();
    let error = docker.find(stranger.parse().unwrap(), "api").await.unwrap_err();
    assert!(matches!(error, FindError::Foreign { .. }), "{error}");
    let me = Process::new("hostname").arg("-i").output().unwrap();
    let me = String::from_utf8_lossy(&me.stdout).trim().to_owned();
    let error = docker.find(format!("{me}:80").parse().unwrap(), "manager").await.unwrap_err();
    assert!(matches!(error, FindError::Own(_)), "{error}");
    let error = docker.find("10.255.255.1:80".parse().unwrap(), "manager").await.unwrap_err();
    assert!(matches!(error, FindError::Gone { .. }), "{error}");
}
