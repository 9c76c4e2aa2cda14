// Serves the folder `public`, which is read once at the start.
'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const folder = path.join(__dirname, 'public');
const files = new Map(fs.readdirSync(folder).map((name) => {
  const body = fs.readFileSync(path.join(folder, name));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`;
  return [`/${name}`, { body, headers: { 'Content-Type': TYPES[path.extname(name)], ETag: etag, 'Cache-Control': 'no-cache' } }];
}));
files.set('/', files.get('/index.html'));

const server = http.createServer((request, response) => {
  response.setHeader('X-Served-By', os.hostname());
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Content-Security-Policy', "default-src 'self'; img-src data:");
  const asked = request.url.split('?', 1)[0];
  if (asked === '/health') return void response.end('ok\n');
  if (!['GET', 'HEAD'].includes(request.method)) return void response.writeHead(405, { Allow: 'GET, HEAD' }).end();
  const file = files.get(asked);
  if (!file) return void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('There is no such page.\n');
  if (request.headers['if-none-match'] === file.headers.ETag) return void response.writeHead(304, file.headers).end();
  response.writeHead(200, { ...file.headers, 'Content-Length': file.body.length }).end(file.body);
});
// Longer than the edge keeps an unused connection, so that this side never closes one that is just being used.
server.keepAliveTimeout = 5000;
server.listen(3000, '0.0.0.0');

// As PID 1 a process obeys only the signals that it has asked for. Requests in flight are finished.
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    setTimeout(() => process.exit(0), 8000).unref();
  });
}
