// SPDX-License-Identifier: Apache-2.0
// echo_grpc_callback.cc: the service bench.Echo on gRPC's C++ library, with its callback API.
// Messages come back as bytes, not decoded: what the library itself costs.
//
//     echo_grpc_callback
//
// Prints "listening on PORT" once it serves, and serves until it is killed.
#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace
{

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::Status;

class StreamReactor : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>
{
  public:
    StreamReactor()
    {
        StartRead(&message_);
    }
    void OnReadDone(bool ok) override
    {
        if (ok) {
            StartWrite(&message_);
        } else {
            Finish(Status::OK);
        }
    }
    void OnWriteDone(bool ok) override
    {
        if (ok) {
            StartRead(&message_);
        } else {
            Finish(Status::CANCELLED);
        }
    }
    void OnDone() override
    {
        delete this;
    }

  private:
    ByteBuffer message_;
};

using Raw = bench::Echo::WithRawCallbackMethod_Unary<
    bench::Echo::WithRawCallbackMethod_Stream<bench::Echo::Service>>;

class EchoService final : public Raw
{
    grpc::ServerUnaryReactor *Unary(CallbackServerContext *context, const ByteBuffer *request,
                                    ByteBuffer *response) override
    {
        *response = *request;
        auto *reactor = context->DefaultReactor();
        reactor->Finish(Status::OK);
        return reactor;
    }
    grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> *Stream(CallbackServerContext *) override
    {
        return new StreamReactor;
    }
};

} // namespace

int main()
{
    int port = 0;
    EchoService service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr || port == 0) {
        fprintf(stderr, "echo_grpc_callback: set-up failed\n");
        return 1;
    }
    printf("listening on %d\n", port);
    fflush(stdout);
    server->Wait();
    return 0;
}
