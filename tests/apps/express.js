// A server with Express and pg. With TAGS=1 each statement of a request names the request in a comment, so that the tests can check whose
// statements the explorer takes them for.
import express from 'express';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL ?? 10) });
const app = express();
app.use(express.json());

class Refused extends Error {}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const tagged = (request, sql) => (process.env.TAGS ? `${sql} /*req=${request.get('x-req')}*/` : sql);

/** Sends statements of a request on any connection of the pool. */
const onPool = (request) => (sql, values) => pool.query(tagged(request, sql), values);

/** Runs `work` in a transaction on one connection. */
async function inTransaction(request, begin, work) {
  const client = await pool.connect();
  const query = (sql, values) => client.query(tagged(request, sql), values);
  try {
    await query(begin);
    const result = await work(query);
    await query('COMMIT');
    return result;
  } catch (error) {
    await query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

/** A route that answers what `work` returns: 409 if it refuses, 500 if it fails. */
function route(path, work) {
  app.post(path, async (request, response) => {
    try {
      const result = await work(request, response);
      if (!response.headersSent) response.json(result);
    } catch (error) {
      if (!response.headersSent) response.status(error instanceof Refused ? 409 : 500).json({ error: error.message });
    }
  });
}

/** The decision in the application: reads, checks, writes the new balance. */
async function withdraw(query, { user, amount }, read = 'SELECT balance FROM accounts WHERE id = $1') {
  const { rows } = await query(read, [user]);
  const balance = rows[0].balance - amount;
  if (balance < 0) throw new Refused('insufficient funds');
  await query('UPDATE accounts SET balance = $1 WHERE id = $2', [balance, user]);
  return { balance };
}

const LOCKING = 'SELECT balance FROM accounts WHERE id = $1 FOR UPDATE';

// A login that gives a cookie and a token, which are looked up in the database; both are needed.
app.post('/login', async (request, response) => {
  const token = `t${Math.random()}`;
  await pool.query('INSERT INTO sessions (token, account) VALUES ($1, $2)', [token, request.body.user]);
  response.cookie('sid', token).json({ session: { token } });
});
route('/member', async (request) => {
  const token = request.get('authorization')?.replace('Bearer ', '');
  if (request.get('cookie') !== `sid=${token}`) throw new Error('no cookie');
  const { rows } = await onPool(request)('SELECT account FROM sessions WHERE token = $1', [token]);
  if (rows.length === 0) throw new Error('no session');
  return withdraw(onPool(request), { ...request.body, user: rows[0].account });
});

app.get('/ready', (_, response) => response.send('ok'));

route('/naive', (request) => withdraw(onPool(request), request.body));
route('/transaction', (request) => inTransaction(request, 'BEGIN', (query) => withdraw(query, request.body)));
route('/locked', (request) => inTransaction(request, 'BEGIN', (query) => withdraw(query, request.body, LOCKING)));

route('/guarded', async (request) => {
  const { user, amount } = request.body;
  const sql = 'UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1 RETURNING balance';
  const { rows } = await onPool(request)(sql, [amount, user]);
  if (rows.length === 0) throw new Refused('insufficient funds');
  return rows[0];
});

// Refuses if another request has the row at the moment.
route('/skips', (request) =>
  inTransaction(request, 'BEGIN', async (query) => {
    const { rows } = await query(`${LOCKING} SKIP LOCKED`, [request.body.user]);
    if (rows.length === 0) throw new Refused('busy');
    return withdraw(query, request.body, LOCKING);
  }),
);

route('/serializable', async (request) => {
  for (;;) {
    try {
      return await inTransaction(request, 'BEGIN ISOLATION LEVEL SERIALIZABLE', (query) => withdraw(query, request.body));
    } catch (error) {
      if (error.code !== '40001') throw error;
    }
  }
});

// A mutex in this process, which the second of two processes does not have.
let tail = Promise.resolve();
route('/mutex', (request) => {
  const mine = tail.then(() => withdraw(onPool(request), request.body));
  tail = mine.catch(() => {});
  return mine;
});

route('/parallel', async (request) => {
  const query = onPool(request);
  const { user, amount } = request.body;
  const [account] = await Promise.all([
    query('SELECT balance FROM accounts WHERE id = $1', [user]),
    query('SELECT count(*) FROM notes WHERE account = $1', [user]),
  ]);
  await query('UPDATE accounts SET balance = $1 WHERE id = $2', [account.rows[0].balance - amount, user]);
  return {};
});

route('/answers-first', async (request, response) => {
  const query = onPool(request);
  const { user, amount } = request.body;
  const { rows } = await query('SELECT balance FROM accounts WHERE id = $1', [user]);
  response.json({});
  await query('UPDATE accounts SET balance = $1 WHERE id = $2', [rows[0].balance - amount, user]);
});

// A second connection inside a transaction: two of these use up a pool of two.
route('/nested', (request) =>
  inTransaction(request, 'BEGIN', async (query) => {
    const { user, amount } = request.body;
    await query('UPDATE accounts SET balance = balance - $1 WHERE id = $2', [amount, user + amount % 2]);
    await onPool(request)('INSERT INTO notes (account) VALUES ($1)', [user]);
    return {};
  }),
);

const cache = new Map();
route('/cached', async (request) => {
  const query = onPool(request);
  const { user, amount } = request.body;
  if (!cache.has(user)) {
    cache.set(user, (await query('SELECT balance FROM accounts WHERE id = $1', [user])).rows[0].balance);
  }
  const balance = cache.get(user) - amount;
  cache.set(user, balance);
  await query('UPDATE accounts SET balance = $1 WHERE id = $2', [balance, user]);
  return {};
});

// One connection for all requests: their transactions mix.
let shared;
route('/shared', async (request) => {
  if (!shared) {
    shared = new pg.Client({ connectionString: process.env.DATABASE_URL });
    await shared.connect();
  }
  const query = (sql, values) => shared.query(tagged(request, sql), values);
  await query('BEGIN');
  const result = await withdraw(query, request.body, LOCKING);
  await query('COMMIT');
  return result;
});

route('/leak', async (request) => {
  const client = await pool.connect();
  await client.query(tagged(request, 'BEGIN'));
  await client.query(tagged(request, LOCKING), [request.body.user]);
  return {};
});

route('/try-lock', async (request) => {
  const client = await pool.connect();
  const query = (sql, values) => client.query(tagged(request, sql), values);
  try {
    while (!(await query('SELECT pg_try_advisory_lock($1) AS taken', [7])).rows[0].taken) await pause(5);
    const result = await withdraw(query, request.body);
    await query('SELECT pg_advisory_unlock($1)', [7]);
    return result;
  } finally {
    client.release();
  }
});

route('/notifies', (request) =>
  inTransaction(request, 'BEGIN', async (query) => {
    const result = await withdraw(query, request.body, LOCKING);
    await query("SELECT pg_notify('changes', 'x')");
    return result;
  }),
);

// A statement that takes as long as it takes elsewhere, between two statements.
route('/slow', async (request) => {
  const query = onPool(request);
  const { rows } = await query('SELECT balance FROM accounts WHERE id = $1', [request.body.user]);
  await pause(Math.random() * 120);
  await query('UPDATE accounts SET balance = $1 WHERE id = $2', [rows[0].balance - request.body.amount, request.body.user]);
  return {};
});

if (process.env.TIMER) setInterval(() => pool.query('SELECT count(*) FROM notes').catch(() => {}), 50);
if (process.env.LISTEN) {
  const client = await pool.connect();
  client.on('notification', () => pool.query('SELECT count(*) FROM notes').catch(() => {}));
  await client.query('LISTEN changes');
}
app.listen(Number(process.env.PORT), '127.0.0.1');
