// Redis, PostgreSQL and MongoDB, each by its service's name. Every question has an end, whatever the store does.
import { MongoClient } from 'mongodb';
import pg from 'pg';
import { createClient } from 'redis';

const LIMIT_MS = 4000;
const CONNECT_LIMIT_MS = 800; // an address that nobody has any more never answers
const PING_LIMIT_MS = 800; // a health check asks all three at once and is answered within a second
const env = process.env;

const redis = createClient({
  socket: {
    host: env.REDIS_HOST ?? 'redis',
    connectTimeout: CONNECT_LIMIT_MS,
    socketTimeout: LIMIT_MS, // a server that hangs: begin anew
    reconnectStrategy: (attempts) => Math.min(100 * 2 ** attempts, 1000),
  },
  pingInterval: 1000,
  disableOfflineQueue: true, // without a connection: an error at once
  commandsQueueMaxLength: 1000,
});
redis.on('error', (error) => changed('redis', error));
redis.on('ready', () => changed('redis', null));

const postgres = new pg.Pool({
  host: env.POSTGRES_HOST ?? 'postgres',
  database: env.POSTGRES_DB ?? 'app',
  user: env.POSTGRES_USER ?? 'app',
  password: env.POSTGRES_PASSWORD ?? 'app',
  max: 5,
  connectionTimeoutMillis: 2 * CONNECT_LIMIT_MS, // with the wait for one of the five
  query_timeout: LIMIT_MS,
});
postgres.on('error', (error) => changed('postgres', error)); // of a connection that nobody is using

const mongo = new MongoClient(`mongodb://${env.MONGO_HOST ?? 'mongo'}:27017/`, {
  auth: { username: env.MONGO_USER ?? 'app', password: env.MONGO_PASSWORD ?? 'app' },
  serverSelectionTimeoutMS: CONNECT_LIMIT_MS,
  connectTimeoutMS: CONNECT_LIMIT_MS,
  socketTimeoutMS: LIMIT_MS,
  heartbeatFrequencyMS: 1000,
});

// Replicas start together, so one waits for the other here: `IF NOT EXISTS` alone may fail for two at once.
const SCHEMA = `
  BEGIN;
  SELECT pg_advisory_xact_lock(1);
  CREATE TABLE IF NOT EXISTS guests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    came timestamptz NOT NULL DEFAULT now()
  );
  COMMIT;`;
let schemaIsThere = false;

async function rows(sql, values) {
  if (!schemaIsThere) {
    await postgres.query(SCHEMA);
    schemaIsThere = true;
  }
  return (await postgres.query(sql, values)).rows;
}

export const stores = {
  // One more visit; how many there were.
  visit: () => within('redis', () => redis.incr('visits')),
  addGuest: (name) => within('postgres', async () => (await rows('INSERT INTO guests (name) VALUES ($1) RETURNING id, name, came', [name]))[0]),
  guests: () => within('postgres', () => rows('SELECT id, name, came FROM guests ORDER BY id DESC LIMIT 100')),
  countGuests: () => within('postgres', async () => Number((await rows('SELECT count(*) FROM guests'))[0].count)),
  pingRedis: (limit) => within('redis', () => redis.ping(), limit),
  pingPostgres: (limit) => within('postgres', () => rows('SELECT 1 FROM guests LIMIT 1'), limit),
  pingMongo: (limit) => within('mongo', () => mongo.db('admin').command({ ping: 1 }), limit),
  // What each says to a ping, all at once: 'ok' or why not.
  health: async () => {
    const asked = { redis: stores.pingRedis(PING_LIMIT_MS), postgres: stores.pingPostgres(PING_LIMIT_MS), mongo: stores.pingMongo(PING_LIMIT_MS) };
    const results = await Promise.allSettled(Object.values(asked));
    const states = results.map((result) => (result.status === 'fulfilled' ? 'ok' : result.reason.cause.message || 'away'));
    return Object.fromEntries(Object.keys(asked).map((store, at) => [store, states[at]]));
  },
  open: () => redis.connect().catch(() => {}), // goes on trying; the two others connect when they are asked
  close: () => Promise.allSettled([redis.isOpen && redis.close(), postgres.end(), mongo.close()]),
};

// A store that is away is no bug of this program: 503, and when to come again.
export class Away extends Error {
  constructor(store, cause) {
    super(`${store} does not answer`, { cause });
    this.status = 503;
  }
}

async function within(store, ask, limit = LIMIT_MS) {
  let clock;
  const late = new Promise((_, reject) => {
    clock = setTimeout(() => reject(new Error(`no answer within ${limit} ms`)), limit);
  });
  try {
    const answer = await Promise.race([ask(), late]);
    changed(store, null);
    return answer;
  } catch (error) {
    changed(store, error);
    throw new Away(store, error);
  } finally {
    clearTimeout(clock);
  }
}

// One line in the log when a store goes and one when it comes, not one for each request.
const away = new Set();
function changed(store, error) {
  if (Boolean(error) === away.has(store)) return;
  if (error) away.add(store);
  else away.delete(store);
  console.log(`${store} ${error ? `is away: ${error.message || error.code || error}` : 'answers'}`);
}
