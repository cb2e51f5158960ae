// Sends 600 deposits and withdrawals of three users, in any order. The expected balances are plain arithmetic.
//
//     k6 run -e BASE_URL=http://127.0.0.1:3000/approach/pessimistic clients/k6/mixed.js
//
// BASE_URL is the approach, or any service with the routes /deposit, /withdraw, /balance/{userId} and /reset.
// THINK_TIME_MS (0 to 1000, by default 0) asks the lab to pause before each write, which widens the race of a broken
// approach.
//
// k6 ends with an exit code other than 0 if a change was not made, or was made and then overwritten by another one.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const base = (__ENV.BASE_URL || '').replace(/\/+$/, '');
if (!base) {
  throw new Error('BASE_URL is missing, such as -e BASE_URL=http://127.0.0.1:3000/approach/pessimistic');
}

const START = 1000;
const USERS = [1, 2, 3];

// One scenario each. No order of them leads to a refusal: all withdrawals of a user together are less than its first
// balance.
const CHANGES = {
  user1_deposits: { user: 1, path: '/deposit', amount: 10, times: 100 },
  user1_withdrawals: { user: 1, path: '/withdraw', amount: 5, times: 100 },
  user2_deposits: { user: 2, path: '/deposit', amount: 20, times: 50 },
  user2_withdrawals: { user: 2, path: '/withdraw', amount: 15, times: 50 },
  user3_deposits: { user: 3, path: '/deposit', amount: 1, times: 200 },
  user3_withdrawals: { user: 3, path: '/withdraw', amount: 2, times: 100 },
};
const signed = ({ path, amount }) => (path === '/deposit' ? amount : -amount);
const total = (of) => Object.values(CHANGES).reduce((sum, change) => sum + of(change), 0);

// Money that was acknowledged and is missing in the balance. Each change that is answered with 200 adds its amount; at
// the end, the gain of the balance is subtracted. So a change that was refused does not count as lost.
const lostUpdates = new Counter('lost_updates_money');

export const options = {
  scenarios: Object.fromEntries(
    Object.entries(CHANGES).map(([name, { times }]) => [
      name,
      { executor: 'shared-iterations', exec: 'change', vus: 10, iterations: times, maxDuration: '2m' },
    ]),
  ),
  thresholds: {
    checks: ['rate==1'],
    // Every change was sent: none was left out because the time was over.
    iterations: [`count==${total(({ times }) => times)}`],
    // By user: a loss of one user must not cancel a gain of another.
    ...Object.fromEntries(USERS.map((user) => [`lost_updates_money{user:${user}}`, ['count==0']])),
  },
};

const params = {
  headers: { 'content-type': 'application/json' },
  timeout: '30s',
};
if (__ENV.THINK_TIME_MS) {
  params.headers['lab-think-time'] = __ENV.THINK_TIME_MS;
}

function balance(user) {
  const answer = http.get(`${base}/balance/${user}`, { timeout: '30s' });
  if (answer.status !== 200) {
    throw new Error(`GET /balance/${user}: ${answer.status} ${answer.body || answer.error}`);
  }
  return answer.json('balance');
}

export function setup() {
  const answer = http.post(`${base}/reset`, '{"seed":"mixed"}', params);
  if (answer.status !== 200) {
    throw new Error(`POST /reset: ${answer.status} ${answer.body || answer.error}`);
  }
  for (const user of USERS) {
    const found = balance(user);
    if (found !== START) {
      throw new Error(`user ${user} starts with ${found} instead of ${START}`);
    }
  }
}

export function change() {
  const { user, path, amount } = CHANGES[exec.scenario.name];
  const answer = http.post(`${base}${path}`, JSON.stringify({ userId: user, amount }), params);
  const made = check(answer, { 'the change was made': ({ status }) => status === 200 });
  if (made) {
    lostUpdates.add(signed({ path, amount }), { user });
  }
}

export function teardown() {
  for (const user of USERS) {
    const found = balance(user);
    const expected = START + total((change) => (change.user === user ? signed(change) * change.times : 0));
    lostUpdates.add(START - found, { user });
    if (!check(found, { 'the balance is right': () => found === expected })) {
      console.error(`user ${user} has ${found} instead of ${expected}: a lost update, if every change was made`);
    }
  }
}
