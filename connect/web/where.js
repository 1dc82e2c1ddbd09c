// Where a URL leads to, as a firewall sees it: {host, protocol: "TCP" or "UDP", port}.

export const isTcp = (url) => /^turns:|transport=tcp/.test(url);

export function ofService(url) {
  const { hostname, port, protocol } = new URL(url);
  return { host: hostname, protocol: "TCP", port: port || (/^(https|wss):$/.test(protocol) ? 443 : 80) };
}

// Of the first of these URLs for ICE, one that does not ask for TCP if there is one; null: it is none.
export function ofRelay(urls) {
  const url = urls.find((u) => !/transport=tcp/.test(u)) ?? urls[0];
  const [, host, port] = url?.match(/^\w+:(\[[^\]]+\]|[^:?]+)(?::(\d+))?/) ?? [];
  return host ? { host, protocol: isTcp(url) ? "TCP" : "UDP", port: port ?? 3478 } : null;
}
