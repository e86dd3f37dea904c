// Serves the folder `public` at http://localhost:8080, or at the port of the first argument.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PUBLIC = join(import.meta.dirname, "../public");
const FILES = new Map([
  ["/", ["index.html", "text/html"]],
  ["/page.css", ["page.css", "text/css"]],
  ["/page.js", ["page.js", "text/javascript"]],
]);

/** Serves the page, and returns its address. */
export async function serve(port) {
  const server = createServer(async ({ url = "" }, response) => {
    const [name, type] = FILES.get(new URL(url, "http://localhost").pathname) ?? [];
    if (name === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("content-type", `${type}; charset=utf-8`);
    response.end(await readFile(join(PUBLIC, name)));
  });
  await new Promise((resolve) => server.listen(port, "localhost", resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address: `http://localhost:${server.address().port}/`, close };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { address } = await serve(Number(process.argv[2] ?? 8080));
  console.log(`open ${address}`);
}
