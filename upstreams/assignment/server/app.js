// The routes: a visit counter in Redis, a guest book in PostgreSQL, and how all three stores are.
import { hostname } from 'node:os';
import express from 'express';
import { stores } from './stores.js';

const servedBy = hostname(); // in a container: the beginning of its id
const NAME_LENGTH_MAX = 100;

export const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.use((request, response, next) => {
  response.set({ 'X-Served-By': servedBy, 'Cache-Control': 'no-store' });
  next();
});
app.use(express.json({ limit: '16kb' }));

app.get('/', async (request, response) => {
  const [visits, guests] = await Promise.all([stores.visit(), stores.countGuests(), stores.pingMongo()]);
  response.json({ redis: { visits }, postgres: { guests }, mongo: 'ok', served_by: servedBy });
});

app.get('/guests', async (request, response) => {
  response.json({ guests: await stores.guests() });
});

app.post('/guests', async (request, response) => {
  const name = request.body?.name;
  if (typeof name !== 'string' || !name.trim() || NAME_LENGTH_MAX < name.length || name.includes('\0')) {
    return response.status(400).json({ detail: `name: 1 to ${NAME_LENGTH_MAX} characters`, served_by: servedBy });
  }
  return response.status(201).json(await stores.addGuest(name.trim()));
});

// Can this replica do its work? It can if all three answer in time.
app.get('/health', async (request, response) => {
  const states = await stores.health();
  const well = Object.values(states).every((state) => state === 'ok');
  response.status(well ? 200 : 503).json({ status: well ? 'ok' : 'unavailable', ...states, served_by: servedBy });
});

app.use((request, response) => response.status(404).json({ detail: 'there is nothing here', served_by: servedBy }));

// Express knows an error handler by its four parameters.
app.use((error, request, response, next) => {
  const status = error.status ?? 500;
  if (status === 500) console.error(error);
  if (response.headersSent) return next(error);
  if (status === 503) response.set('Retry-After', '2');
  return response.status(status).json({ detail: status === 500 ? 'a bug here; see the log' : error.message, served_by: servedBy });
});
