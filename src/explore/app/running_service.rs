//! An application that runs: its processes, from the start until it is ready, and its end.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::app_file::ServiceScript;
use super::environment::DatabaseEnvironment;
use super::request_sending::send;
use super::running_command::{CommandGuard, ExitedCommand, RunningCommand, kill_group};

/// How long an application may take until it is ready. A large one of the JVM takes half a minute.
const READY_MAX: Duration = Duration::from_mins(2);

/// The pause between two attempts to reach it.
const READY_POLL: Duration = Duration::from_millis(20);

/// How long one attempt may take.
const READY_ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long its processes may take to end after they were killed.
const END_MAX: Duration = Duration::from_secs(10);

/// An application that runs. Dropping it kills its processes.
#[derive(Debug)]
pub struct RunningService {
    instances: Vec<ServiceInstance>,
}

#[derive(Debug)]
struct ServiceInstance {
    port: u16,
    group: Pid,
    ended: Option<JoinHandle<ExitedCommand>>,
}

impl RunningService {
    /// Starts the processes, and waits until each is ready. `database` is where it finds its database.
    ///
    /// # Errors
    /// Why it cannot be used, with the end of what it printed.
    pub async fn start(
        guard: &CommandGuard,
        script: &ServiceScript,
        database: &DatabaseEnvironment,
    ) -> Result<Self, String> {
        let mut service = Self { instances: Vec::new() };
        for _ in 0..script.instances {
            let port = match script.port {
                Some(port) => unoccupied(port)?,
                None => free_port().map_err(|error| format!("app.start: there is no free port: {error}"))?,
            };
            let database = database.clone().with_port(port);
            let mut env = script.env.clone();
            env.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
            let started = RunningCommand::start(guard, &script.start, &script.folder, &database, &env);
            let started =
                started.map_err(|error| format!("app.start: {:?} cannot be started: {error}", script.start))?;
            let group = started.group();
            let mut instance = ServiceInstance { port, group, ended: Some(tokio::spawn(started.ended())) };
            let ready = instance.ready(script).await;
            service.instances.push(instance);
            if let Err(why) = ready {
                let printed = service.stop().await;
                return Err(format!("app.start: {:?} {why}; {printed}", script.start));
            }
        }
        Ok(service)
    }

    /// The port of the instance that a request goes to, by the request's number.
    #[must_use]
    pub fn port_of(&self, request: usize) -> u16 {
        self.instances[request % self.instances.len()].port
    }

    /// The process groups.
    #[must_use]
    pub fn groups(&self) -> Vec<Pid> {
        self.instances.iter().map(|instance| instance.group).collect()
    }

    /// Whether a process has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.instances.iter().any(|instance| instance.ended.as_ref().is_none_or(JoinHandle::is_finished))
    }

    /// Kills the processes. Returns the end of what they printed, in words.
    pub async fn stop(mut self) -> String {
        let mut printed = Vec::new();
        for instance in &mut self.instances {
            kill_group(instance.group);
            if let Some(ended) = instance.ended.take()
                && let Ok(Ok(exited)) = timeout(END_MAX, ended).await
            {
                printed.push(exited.output.shown());
            }
        }
        printed.dedup();
        printed.join("\n")
    }
}

impl Drop for RunningService {
    fn drop(&mut self) {
        self.instances
            .iter()
            .filter(|instance| instance.ended.is_some())
            .for_each(|instance| kill_group(instance.group));
    }
}

impl ServiceInstance {
    async fn ready(&mut self, script: &ServiceScript) -> Result<(), String> {
        let begun = Instant::now();
        let mut last = "its port is not open".to_owned();
        while begun.elapsed() < READY_MAX {
            if self.ended.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err("has ended before it was ready".to_owned());
            }
            let attempt = async {
                let Some(request) = &script.ready else {
                    let opened = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await;
                    return opened.map(drop).map_err(|error| format!("its port is not open ({error})"));
                };
                let answer = send(self.port, request, 0).await?;
                let refused = || format!("{} is answered {}", request.title(), answer.in_words());
                if answer.is_ok() { Ok(()) } else { Err(refused()) }
            };
            match timeout(READY_ANSWER_MAX, attempt).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => last = why,
                Err(_elapsed) => last = format!("no answer within {} s", READY_ANSWER_MAX.as_secs()),
            }
            sleep(READY_POLL).await;
        }
        let port = self.port;
        Err(format!("is not ready at port {port} within {} s: {last}", READY_MAX.as_secs()))
    }
}

/// A port that nothing listens on. Another program could take it before the application does, which is then not ready.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The same for a given port: what listens there already would answer in place of the application.
fn unoccupied(port: u16) -> Result<u16, String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(port),
        Err(error) => {
            Err(format!("app.port: expected a free port, found {port}, which cannot be listened on: {error}"))
        }
    }
}
