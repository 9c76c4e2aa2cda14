// How PM2 runs the server.
module.exports = {
  apps: [
    {
      name: 'app',
      script: 'server/main.js',
      // Cluster mode is what makes `pm2 reload` start the new process before it stops the old one; in fork mode a reload is a
      // plain restart. One process a container: with two, every other health check of a half-dead one passes. Use --scale.
      exec_mode: 'cluster',
      instances: 1,
      wait_ready: true, // the new one says when it listens …
      listen_timeout: 5000,
      kill_timeout: 1600, // … and the old one has this long to finish its requests; a blocked one is killed then
    },
  ],
};
