"""How each proxy is started before a chain of upstreams."""

import itertools

from .programs import free_port

# A failure switches at once, and cooldown is off, so that every request meets it: load.one_round() checks that.
SWITCHBACK = """\
listen: ["127.0.0.1:{listen}"]
upstreams:
{upstreams}
routes:
{routes}
policy:
  on: {{ server_error: fallback }}
  cooldown: {{ after: 0 }}
server: {{ threads: {threads} }}
log: {{ level: {log_level} }}
"""

# Buffers that no body of ours overflows into a file; streams are passed on at once, as the others do.
NGINX = """\
daemon off;
worker_processes {threads};
user root;
pid {directory}/nginx-{listen}.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body-{listen};
  proxy_temp_path {directory}/proxy-{listen};
  fastcgi_temp_path {directory}/fastcgi-{listen};
  uwsgi_temp_path {directory}/uwsgi-{listen};
  scgi_temp_path {directory}/scgi-{listen};
  client_max_body_size 16m;
  client_body_buffer_size 2m;
  keepalive_requests 1000000000;
  upstream chain {{
{servers}
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{listen} backlog=4096;
    location / {{
      proxy_pass http://chain;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_next_upstream error timeout http_500 non_idempotent;
    }}
  }}
}}
"""


class Sides:
    """Commands of the proxies that are compared, as (command, port)."""

    def __init__(self, programs, upstream, directory, threads):
        self.programs = programs
        self.ports = upstream.ports
        self.directory = directory
        self.threads = threads
        self.numbers = itertools.count()

    def switchback(self, chain=("good",), log_level="info", models=1, upstreams=0):
        """With `upstreams`, so many of them serve so many `models`, two each; all are the good one."""
        listen = free_port()
        urls = {name: self.ports[name] for name in chain}
        urls |= {f"upstream-{nth}": self.ports["good"] for nth in range(upstreams)}
        routes = {}
        for nth in range(models if upstreams else 0):
            routes[f"model-{nth}"] = [f"upstream-{(nth + more) % upstreams}" for more in (0, 1)]
        routes["bench"] = list(chain)
        configuration = self.directory / f"switchback-{next(self.numbers)}.yaml"
        configuration.write_text(SWITCHBACK.format(
            listen=listen,
            upstreams="\n".join(f"  {name}: {{ url: http://127.0.0.1:{port}/v1 }}" for name, port in urls.items()),
            routes="\n".join(f"  {name}: [{', '.join(targets)}]" for name, targets in routes.items()),
            threads=self.threads, log_level=log_level,
        ))
        return [self.programs["switchback"], "run", "--config", configuration], listen

    def bare(self, chain=("good",)):
        return self.pingora("bare_proxy", chain)

    def floor(self):
        return self.pingora("floor_proxy", ["good"])

    def pingora(self, program, chain):
        listen = free_port()
        addresses = [f"127.0.0.1:{port}" for port in (listen, *(self.ports[name] for name in chain))]
        return [self.programs[program], *addresses, "--threads", str(self.threads)], listen

    def nginx(self, chain=("good",)):
        listen = free_port()
        # Asked in turn, the first always first.
        servers = [f"    server 127.0.0.1:{self.ports[name]} max_fails=0{' backup' if nth else ''};"
                   for nth, name in enumerate(chain)]
        configuration = self.directory / f"nginx-{listen}.conf"
        configuration.write_text(NGINX.format(listen=listen, servers="\n".join(servers), threads=self.threads,
                                              directory=self.directory))
        return [self.programs["nginx"], "-e", "stderr", "-p", self.directory, "-c", configuration], listen
