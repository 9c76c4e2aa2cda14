import { hostname } from 'node:os';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The dev server answers /health too, so that Remora can watch it like the built page.
const health = {
  name: 'health',
  configureServer(server) {
    server.middlewares.use('/health', (request, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ status: 'ok', served_by: hostname(), dev: true }));
    });
  },
};

export default defineConfig({
  root: 'client',
  cacheDir: '/tmp/vite', // `client` is mounted from the host, perhaps read-only
  plugins: [react(), health],
  build: { outDir: '../dist', emptyOutDir: true },
  server: {
    host: '0.0.0.0',
    port: 3000,
    strictPort: true,
    // The edge is the only way in and decides which hosts it serves. Its health check asks for `frontend:3000`.
    allowedHosts: true,
    // Hot reload needs no setting: the page opens its WebSocket to the address it came from, which is the edge's.
    // Where file events do not reach the container (a mount from macOS or Windows), set WATCH_POLLING=1.
    watch: { usePolling: process.env.WATCH_POLLING === '1' },
  },
});
