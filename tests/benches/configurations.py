"""The configurations: the upstream, nginx as a proxy with and without Lua, Portcullis with and without filters."""

TOKEN = "3f1c9a52-load-token"
# What a small real client sends; every contender gets the same.
HEADERS = {
    "user-agent": "load/1",
    "accept": "*/*",
    "accept-encoding": "gzip",
    "x-access-tokens": TOKEN,
    "x-internal": "1",
}

# Contenders that do the three jobs, and are checked to do them.
EDITED = ("nginx-lua", "portcullis-filters", "baseline-filters")

NGINX = """
{modules}
{user}
daemon off;
master_process {master};
worker_processes 1;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy; fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi; scgi_temp_path {prefix}/scgi;
    {http}
}}
"""

UPSTREAM = """
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type text/plain; return 200 "{payload}"; }}
        location /part/ {{
            default_type application/json;
            return 200 '{{"id":7,"name":"Ada","price":1.10,"tags":["a","b"],"secret":"{part}"}}';
        }}
        location = /seen {{ default_type text/plain; return 200 "[$http_x_gateway][$http_x_internal]"; }}
        location = /big {{ alias {files}/big; default_type application/octet-stream; }}
    }}
"""

# The plainest proxy nginx can be: it adds no X-Forwarded-* and no Via, which Portcullis does. The upstream pool is
# larger than the number of connections, so none is ever closed for want of room.
PROXY = """
    upstream bench {{
        server 127.0.0.1:{upstream};
        keepalive 256; keepalive_requests 1000000000; keepalive_timeout 3600s;
    }}
    upstream sink {{ server 127.0.0.1:{sink}; }}
    {shared}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 0;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        {streaming}
        location / {{ {phases} proxy_pass http://bench; }}
        location = /sink {{ proxy_pass http://sink; }}
    }}
"""

# nginx streams with either of these: as its documentation says, one small buffer at a time; or the fastest that was
# found, with large buffers and no file between.
STREAMING = "proxy_request_buffering off; proxy_buffering off;"
BUFFERED = """
        proxy_request_buffering off;
        proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
"""

LUA_SHARED = """
    lua_shared_dict limits 10m;
    init_by_lua_block { accepted = { ["TOKEN"] = true } }
""".replace("TOKEN", TOKEN)

LUA_PHASES = """
            rewrite_by_lua_block {
                local token = ngx.var.http_x_access_tokens
                if not token or not accepted[token] then
                    ngx.status = 401
                    ngx.header["content-type"] = "application/json"
                    ngx.print('{"message":"Token is missing!"}')
                    return ngx.exit(401)
                end
            }
            access_by_lua_block {
                local count = ngx.shared.limits:incr(ngx.var.binary_remote_addr, 1, 0, 60)
                if count and count > 1000000000 then return ngx.exit(429) end
                ngx.req.set_header("x-gateway", "portcullis")
                ngx.req.clear_header("x-internal")
            }
            header_filter_by_lua_block { ngx.header["x-served-by"] = "portcullis" }
"""

PORTCULLIS = """version = 1

[server]
listen = ["127.0.0.1:{port}"]
threads = 1

[log]
level = "info"
access = "off"

[upstream.bench]
targets = ["http://127.0.0.1:{upstream}"]
keep = 256

[upstream.sink]
targets = ["http://127.0.0.1:{sink}"]

[[route]]
match = "/{{rest...}}"
to = "bench"
filters = [{filters}]

[[route]]
match = "/sink"
to = "sink"
body_size = "4GiB"
timeout = "600s"
{more}"""

# Inline tables on one line each, as TOML 1.0 has them.
FILTERS = ", ".join([
    f'{{ use = "token-auth", settings = {{ header = "x-access-tokens", tokens = ["{TOKEN}"] }} }}',
    '{ use = "rate-limit", settings = { rate = "100000000/s", key = ["client-ip"] } }',
    '{ use = "edit-headers", settings = { request = { set = { x-gateway = "portcullis" }, remove = ["x-internal"] }, '
    'response = { set = { x-served-by = "portcullis" } } } }',
])

# One answer from three calls, of which the third waits for the first.
AGGREGATE_PATH = "/page"
AGGREGATE = """
[[route]]
match = "/page"

[route.aggregate.call.user]
get = "bench:/part/user"
deny = ["secret"]

[route.aggregate.call.orders]
get = "bench:/part/orders"
allow = ["id", "price"]
into = "orders"

[route.aggregate.call.stock]
get = "bench:/part/stock?of=${call.user.body.id}"
allow = ["tags"]
into = "stock"
"""
AGGREGATED = (b'{"id":7,"name":"Ada","price":1.10,"tags":["a","b"],'
              b'"orders":{"id":7,"price":1.10},"stock":{"tags":["a","b"]}}')

# wrk hands its own exact counts to `done`; nothing here runs while requests are made.
WRK_REPORT = """
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('\\nREPORT {"requests":%d,"us":%d,"p99_us":%d,"errors":%d}\\n',
        summary.requests, summary.duration, latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""
