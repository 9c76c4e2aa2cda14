// The built page, a health address and, for tests, ways to fall ill.
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import sirv from 'sirv';

const servedBy = hostname(); // in a container: the beginning of its id

export function createApp({
  root = fileURLToPath(new URL('../dist', import.meta.url)),
  faults = process.env.SAMPLE_FAULTS === '1',
} = {}) {
  let sickUntil = 0;
  const page = sirv(root, {
    single: true, // a path without a file is the page's own
    etag: true,
    // Vite names these by their content, so they never change.
    setHeaders: (response, path) => {
      if (path.startsWith('/assets/')) response.setHeader('Cache-Control', 'public, max-age=31536000, immutable');
    },
  });

  const fault = (request, response, url) => {
    if (request.method !== 'POST') return json(response, 405, { detail: 'POST only' });
    if (url.pathname === '/_fault/sick') {
      const seconds = Number(url.searchParams.get('seconds') ?? 60);
      sickUntil = Date.now() + seconds * 1000;
      return json(response, 200, { sick_for_seconds: seconds });
    }
    if (url.pathname === '/_fault/hang') {
      json(response, 200, { hanging: true });
      response.once('close', block);
      return;
    }
    return json(response, 404, { detail: 'no such fault' });
  };

  return createServer((request, response) => {
    response.setHeader('X-Served-By', servedBy);
    const url = new URL(request.url, 'http://page');
    if (url.pathname === '/health') {
      const sick = Date.now() < sickUntil;
      return json(response, sick ? 500 : 200, { status: sick ? 'sick on request' : 'ok', served_by: servedBy });
    }
    if (faults && url.pathname.startsWith('/_fault/')) return fault(request, response, url);
    if (request.method !== 'GET' && request.method !== 'HEAD') return json(response, 405, { detail: 'GET only' });
    page(request, response);
  });
}

function json(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store' });
  response.end(text);
}

function block() {
  for (;;); // what a regular expression gone wild does to an event loop
}
