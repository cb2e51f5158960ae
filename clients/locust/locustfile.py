"""Sends 600 deposits and withdrawals of three users, in any order. The expected balances are plain arithmetic.

    locust -f clients/locust/locustfile.py --headless --host http://127.0.0.1:3000/approach/pessimistic

--host is the approach, or any service with the routes /deposit, /withdraw, /balance/{userId} and /reset.
--think-time-ms (0 to 1000, by default 0) asks the lab to pause before each write, which widens the race of a broken
approach. Without --headless, Locust's own page starts the same test, as often as needed.

It ends by itself, with an exit code other than 0 if a change was not made, or was made and then overwritten by another
one. It must be one process: with --processes, --master or --worker each process would know a part of the changes only.
"""

import logging
import random

import gevent
import requests
from locust import HttpUser, events, task
from locust.exception import StopTest

START = 1000
TIMEOUT_S = 30

# User, route, amount, how often. No order of them leads to a refusal: all withdrawals of a user together are less than
# its first balance.
CHANGES = (
    (1, "/deposit", 10, 100),
    (1, "/withdraw", 5, 100),
    (2, "/deposit", 20, 50),
    (2, "/withdraw", 15, 50),
    (3, "/deposit", 1, 200),
    (3, "/withdraw", 2, 100),
)


class Run:
    """The changes that are still to be sent, and the balances that the answers so far add up to."""

    def __init__(self):
        self.to_do = [(user, route, amount) for user, route, amount, times in CHANGES for _ in range(times)]
        # The same order in every run: any difference between two runs comes from the server.
        random.Random(1).shuffle(self.to_do)
        self.unanswered = len(self.to_do)
        self.made = self.unknown = 0
        self.expected = {user: START for user, *_ in CHANGES}


run = None


@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--think-time-ms", type=int, env_var="THINK_TIME_MS", default=0, help="Sent as Lab-Think-Time")
    # Locust's defaults are one user and no end.
    parser.set_defaults(num_users=50, spawn_rate=50, run_time="2m")


def ask(method, environment, path, **body):
    answer = requests.request(method, environment.host + path, timeout=TIMEOUT_S, **body)
    if answer.status_code != 200:
        raise ValueError(f"{method} {path} answered {answer.status_code} {answer.text}")
    return answer.json()


def balance(environment, user):
    return ask("GET", environment, f"/balance/{user}")["balance"]


@events.test_start.add_listener
def reset(environment, **_):
    global run
    run = None
    environment.host = (environment.host or "").rstrip("/")
    try:
        ask("POST", environment, "/reset", json={"seed": "mixed"})
        fresh = Run()
        for user in fresh.expected:
            found = balance(environment, user)
            if found != START:
                raise ValueError(f"user {user} starts with {found} instead of {START}")
    except (KeyError, ValueError, requests.RequestException) as error:
        environment.process_exit_code = 1
        raise StopTest(f"cannot start on --host {environment.host!r}: {error}") from None
    run = fresh


class Client(HttpUser):
    @task
    def change(self):
        if not run.to_do:
            # Wait until the run ends: if a user ends by itself, Locust reports an error when it stops the others.
            gevent.sleep(TIMEOUT_S)
            return
        user, route, amount = run.to_do.pop()
        think_time = self.environment.parsed_options.think_time_ms
        headers = {"Lab-Think-Time": str(think_time)} if think_time else {}
        # Locust counts every answer except 2xx as a failure, and then ends with an exit code other than 0.
        answer = self.client.post(route, json={"userId": user, "amount": amount}, headers=headers, timeout=TIMEOUT_S)
        if answer.status_code == 200:
            run.made += 1
            run.expected[user] += amount if route == "/deposit" else -amount
        elif answer.status_code in (0, 504):
            run.unknown += 1
        run.unanswered -= 1
        if run.unanswered == 0:
            runner = self.environment.runner
            # In another greenlet: quit and stop wait for this user to end.
            gevent.spawn(runner.quit if self.environment.parsed_options.headless else runner.stop)


@events.test_stop.add_listener
def verify(environment, **_):
    if run is None:
        return
    complaints = []
    if run.unanswered:
        complaints.append(f"stopped with {run.unanswered} changes not answered")
    else:
        for user, expected in run.expected.items():
            found = balance(environment, user)
            if found != expected:
                what = f"undecided, {run.unknown} answers are missing" if run.unknown else "lost update"
                complaints.append(f"{what}: user {user} has {found} instead of {expected}")
    for complaint in complaints:
        logging.error(complaint)
    if complaints:
        environment.process_exit_code = 1
    else:
        balances = " ".join(str(balance) for balance in run.expected.values())
        logging.info("no update was lost: %d changes were made, and the balances are %s", run.made, balances)
