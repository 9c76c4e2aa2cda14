// Starts the server and stops it in order; PM2 runs this file.
import { createApp } from './app.js';

const port = Number(process.env.PORT ?? 3000);
const server = createApp();
// Longer than the edge keeps idle connections (60 s): of the two it must be the edge that closes first, else it sends a
// request into a connection that is just being closed here.
server.keepAliveTimeout = 75_000;
server.listen(port, '0.0.0.0', () => process.send?.('ready'));

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(() => process.exit(0)); // idle connections are closed at once, busy ones after their response
    server.closeIdleConnections();
  });
}
