//! An application with its proxy and its attendant, from the first start to the last end.

use std::collections::BTreeSet;
use std::sync::Arc;

use postgres_proxy::{Owner, Proxy};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::app_file::{ServiceReset, ServiceScript};
use super::attended_request::AttendedRequest;
use super::environment::DatabaseEnvironment;
use super::proxying::start_proxy;
use super::request_interleaving::RequestInterleaving;
use super::request_script::RequestScript;
use super::request_sending::prepare;
use super::running_command::CommandGuard;
use super::running_service::RunningService;
use super::service_attendant::{RequestsAttended, ServiceAttendant, ServiceOrder};
use super::service_link::ServiceLink;
use super::step_rules::StepRules;
use crate::explore::error::ExploreError;
use crate::explore::run::gate::{GateEvent, GateEvents};
use crate::explore::run::monitor::ActorBackends;
use crate::explore::schedule::Actor;

/// Orders that wait for the attendant. One is given at a time.
const ORDERS_MAX: usize = 4;

/// See the [module](self).
#[derive(Debug)]
pub struct AppService {
    script: ServiceScript,
    guard: CommandGuard,
    environment: DatabaseEnvironment,
    orders: mpsc::Sender<ServiceOrder>,
    attendant: JoinHandle<()>,
    running: Option<RunningService>,
    /// It must be started anew before the next interleaving.
    pub must_restart: bool,
    /// See [`RequestInterleaving::send_is_a_step`].
    pub send_is_a_step: bool,
}

/// What a service needs to know of its surroundings.
pub struct ServiceSurroundings<'s> {
    pub server: &'s PgConnectOptions,
    pub database: &'s str,
    pub default_level: String,
    pub backends: ActorBackends,
    pub rules: StepRules,
}

impl AppService {
    /// Starts the proxy and the attendant, and not yet the application.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the proxy cannot be started.
    pub async fn open(
        script: &ServiceScript,
        guard: &CommandGuard,
        surroundings: ServiceSurroundings<'_>,
    ) -> Result<Self, ExploreError> {
        let ServiceSurroundings { server, database, default_level, backends, rules } = surroundings;
        let (owner, events) = Owner::channel();
        let proxy = start_proxy(server, Some(events)).await?;
        let environment = DatabaseEnvironment::new(server, database, proxy.address());
        let link = ServiceLink::new(&script.ignore, script.tags, default_level, backends);
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let attendant = ServiceAttendant::new(owner, received, Arc::<Proxy>::new(proxy), link, rules);
        Ok(Self {
            script: script.clone(),
            guard: guard.clone(),
            environment,
            orders,
            attendant: tokio::spawn(attendant.run()),
            running: None,
            must_restart: false,
            send_is_a_step: false,
        })
    }

    /// Starts the application, and waits until it is ready.
    ///
    /// # Errors
    /// [`ExploreError::Script`], with the end of what it printed.
    pub async fn start(&mut self) -> Result<(), ExploreError> {
        let started = RunningService::start(&self.guard, &self.script, &self.environment).await;
        let running = started.map_err(ExploreError::Script)?;
        self.order(ServiceOrder::Started(running.groups())).await?;
        self.running = Some(running);
        self.must_restart = self.script.reset == ServiceReset::Restart;
        Ok(())
    }

    /// Sends the requests before this one, and returns it with what they gave.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if one of them is not done.
    pub async fn prepare(
        &self,
        actor: Actor,
        number: usize,
        request: &RequestScript,
    ) -> Result<RequestScript, ExploreError> {
        let Some(running) = self.running.as_ref().filter(|_| !request.before.is_empty()) else {
            return Ok(request.clone());
        };
        let prepared = prepare(running.port_of(number), request, number).await;
        // The statements of these requests belong to no request that is explored.
        self.order(ServiceOrder::Disregard).await?;
        prepared.map_err(|why| ExploreError::Script(format!("request {actor}: {why}")))
    }

    /// Whether it goes on running between two interleavings, so that its first use is not part of one.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.script.reset == ServiceReset::Rows
    }

    /// Other units count as steps now, so what is known of reactions is of no use.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the attendant has ended.
    pub async fn forget_reactions(&self) -> Result<(), ExploreError> {
        self.order(ServiceOrder::Forget).await
    }

    /// Whether it runs, and may go on running.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        !self.must_restart && self.running.as_ref().is_some_and(|running| !running.has_ended())
    }

    /// Whether a process of it has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.running.as_ref().is_some_and(RunningService::has_ended)
    }

    /// Ends its processes. Returns the end of what they printed.
    pub async fn stop(&mut self) -> String {
        match self.running.take() {
            Some(running) => running.stop().await,
            None => String::new(),
        }
    }

    /// Watches which statements come without a request. They are not held later.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the attendant has ended.
    pub async fn watch_idle(&self) -> Result<BTreeSet<String>, ExploreError> {
        let (reply, found) = oneshot::channel();
        self.order(ServiceOrder::WatchIdle(reply)).await?;
        found.await.map_err(|_| attendant_ended())
    }

    /// Sends these requests, each by its place in the file. The runner is told of all of them before this returns, because it expects them at
    /// once.
    ///
    /// # Errors
    /// [`ExploreError::Script`] if the application does not run.
    pub fn begin(
        &self,
        requests: Vec<(Actor, usize, RequestScript)>,
        gate: Option<&GateEvents>,
        rules: StepRules,
        (beside_commands, stop): (bool, CancellationToken),
    ) -> Result<oneshot::Receiver<RequestsAttended>, ExploreError> {
        let Some(running) = &self.running else {
            return Err(ExploreError::Script("app.start: the application does not run".to_owned()));
        };
        let attended = |(actor, number, script): (Actor, usize, RequestScript)| {
            let go = gate.map(|events| {
                let (go, received) = mpsc::channel(1);
                let server = u8::try_from(number).unwrap_or(u8::MAX);
                let _ = events.send((actor, GateEvent::Started { go, server, session: Uuid::new_v4() }));
                received
            });
            AttendedRequest::new(actor, number, script, running.port_of(number), go)
        };
        let requests = requests.into_iter().map(attended).collect();
        let mut interleaving = RequestInterleaving::new(requests, gate.cloned(), rules, self.send_is_a_step, stop);
        interleaving.beside_commands = beside_commands;
        let (reply, attended) = oneshot::channel();
        let order = ServiceOrder::Attend(Box::new(interleaving), reply);
        self.orders.try_send(order).map_err(|_| attendant_ended())?;
        Ok(attended)
    }

    async fn order(&self, order: ServiceOrder) -> Result<(), ExploreError> {
        self.orders.send(order).await.map_err(|_| attendant_ended())
    }

    /// Ends its processes, and the attendant.
    pub async fn close(mut self) {
        self.stop().await;
        drop(self.orders);
        // It ends because no order can come.
        let _ = self.attendant.await;
    }
}

fn attendant_ended() -> ExploreError {
    ExploreError::Script("the attendant of the application has ended; this is a bug in concurrency-lab".to_owned())
}
