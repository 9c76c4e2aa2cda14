// Starts the server and stops it in order.
import { app } from './app.js';
import { stores } from './stores.js';

stores.open();
const server = app.listen(Number(process.env.PORT ?? 8000), '0.0.0.0', (error) => {
  if (error) throw error;
});
// Longer than the edge keeps idle connections: of the two it must be the edge that closes first, else it sends a request into
// a connection that is just being closed here.
server.keepAliveTimeout = 75_000;

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => { // idle connections are closed at once, busy ones after their response
      await stores.close();
      process.exit(0);
    });
    server.closeIdleConnections();
  });
}
