// The systems that are measured. Each has `serve`, which returns the address of a server of
// `echo(text)`, and `connect`, which returns a function that makes one call.

import { once } from "node:events";
import { createServer as createHttp2 } from "node:http2";
import { join } from "node:path";

import { create, createFileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Communicator } from "tce/node";

import { EchoPrx, serveEcho } from "./gen/bench.js";

const HOST = "127.0.0.1";

function tce(scheme) {
  return {
    async serve() {
      const adapter = await new Communicator().listen(`${scheme}://${HOST}:0`);
      adapter.serve(serveEcho({ echo: (text) => text, heartbeat: () => undefined }));
      return adapter.endpoint;
    },
    async connect(endpoint) {
      const echo = new EchoPrx(await new Communicator().connect(endpoint));
      return (text) => echo.echo(text);
    },
  };
}

function grpcService() {
  const definition = loadSync(join(import.meta.dirname, "../proto/echo.proto"));
  return grpc.loadPackageDefinition(definition).echo.Echo;
}

const grpcJs = {
  async serve() {
    const server = new grpc.Server();
    server.addService(grpcService().service, {
      echo: (call, answer) => answer(null, { text: call.request.text }),
    });
    const port = await new Promise((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      server.bindAsync(`${HOST}:0`, credentials, (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    return `${HOST}:${port}`;
  },
  async connect(address) {
    const client = new (grpcService())(address, grpc.credentials.createInsecure());
    return (text) =>
      new Promise((resolve, reject) => {
        client.echo({ text }, (error, result) => (error ? reject(error) : resolve(result.text)));
      });
  },
};

/** `echo.proto`, as protoc-gen-es would describe it. */
function connectService() {
  const field = { name: "text", number: 1, label: 1, type: 9, jsonName: "text" };
  const method = { name: "Echo", inputType: ".echo.Text", outputType: ".echo.Text" };
  const file = create(FileDescriptorProtoSchema, {
    name: "echo.proto",
    package: "echo",
    syntax: "proto3",
    messageType: [{ name: "Text", field: [field] }],
    service: [{ name: "Echo", method: [method] }],
  });
  const set = create(FileDescriptorSetSchema, { file: [file] });
  return createFileRegistry(set).getService("echo.Echo");
}

function connect(createTransport) {
  return {
    async serve() {
      const routes = (router) =>
        router.service(connectService(), { echo: ({ text }) => ({ text }) });
      const server = createHttp2(connectNodeAdapter({ routes }));
      server.listen(0, HOST);
      await once(server, "listening");
      return `http://${HOST}:${server.address().port}`;
    },
    async connect(baseUrl) {
      const client = createClient(connectService(), createTransport(baseUrl));
      return async (text) => (await client.echo({ text })).text;
    },
  };
}

export const PEERS = {
  "tce, tcp": tce("tcp"),
  "tce, ws": tce("ws"),
  "grpc-js": grpcJs,
  "Connect, its protocol": connect((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
  ),
  "Connect, gRPC": connect((baseUrl) => createGrpcTransport({ baseUrl })),
};
