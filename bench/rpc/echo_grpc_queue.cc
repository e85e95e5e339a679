// SPDX-License-Identifier: Apache-2.0
// echo_grpc_queue.cc: the service bench.Echo on gRPC's C++ library, with its completion queues.
// Messages come back as bytes, not decoded: what the library itself costs.
//
//     echo_grpc_queue [queues, a thread each; 1]
//
// Prints "listening on PORT" once it serves, and serves until it is killed.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace
{

using grpc::ByteBuffer;
using grpc::ServerCompletionQueue;
using grpc::Status;
using Service = bench::Echo::WithRawMethod_Unary<
    bench::Echo::WithRawMethod_Stream<bench::Echo::Service>>;

// A tag: what a completion leads to.
struct Call {
    virtual ~Call() = default;
    virtual void Proceed(bool ok) = 0;
};

class UnaryCall final : public Call
{
  public:
    UnaryCall(Service *service, ServerCompletionQueue *queue)
        : service_(service), queue_(queue), writer_(&context_)
    {
        service_->RequestUnary(&context_, &message_, &writer_, queue_, queue_, this);
    }
    void Proceed(bool ok) override
    {
        if (!ok || answered_) {
            delete this;
            return;
        }
        new UnaryCall(service_, queue_);
        answered_ = true;
        writer_.Finish(message_, Status::OK, this);
    }

  private:
    Service *service_;
    ServerCompletionQueue *queue_;
    grpc::ServerContext context_;
    ByteBuffer message_;
    grpc::ServerAsyncResponseWriter<ByteBuffer> writer_;
    bool answered_ = false;
};

class StreamCall final : public Call
{
  public:
    StreamCall(Service *service, ServerCompletionQueue *queue)
        : service_(service), queue_(queue), stream_(&context_)
    {
        service_->RequestStream(&context_, &stream_, queue_, queue_, this);
    }
    void Proceed(bool ok) override
    {
        switch (state_) {
        case State::kBegin:
            if (!ok) {
                delete this;
                return;
            }
            new StreamCall(service_, queue_);
            Read();
            return;
        case State::kRead:
            if (!ok) {
                End();
                return;
            }
            state_ = State::kWrite;
            stream_.Write(message_, this);
            return;
        case State::kWrite:
            if (!ok) {
                End();
                return;
            }
            Read();
            return;
        case State::kEnd:
            delete this;
            return;
        }
    }

  private:
    enum class State { kBegin, kRead, kWrite, kEnd };

    void Read()
    {
        state_ = State::kRead;
        stream_.Read(&message_, this);
    }
    void End()
    {
        state_ = State::kEnd;
        stream_.Finish(Status::OK, this);
    }

    Service *service_;
    ServerCompletionQueue *queue_;
    grpc::ServerContext context_;
    grpc::ServerAsyncReaderWriter<ByteBuffer, ByteBuffer> stream_;
    ByteBuffer message_;
    State state_ = State::kBegin;
};

void Serve(Service *service, ServerCompletionQueue *queue)
{
    for (int i = 0; i < 200; i++) { // so many may be under way before one has to wait
        new UnaryCall(service, queue);
        new StreamCall(service, queue);
    }
    void *tag;
    bool ok;
    while (queue->Next(&tag, &ok)) {
        static_cast<Call *>(tag)->Proceed(ok);
    }
}

} // namespace

int main(int argc, char **argv)
{
    int port = 0;
    long count = argc > 1 ? strtol(argv[1], nullptr, 10) : 1;
    Service service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    std::vector<std::unique_ptr<ServerCompletionQueue>> queues;
    for (long i = 0; i < count; i++) {
        queues.push_back(builder.AddCompletionQueue());
    }
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr || port == 0) {
        fprintf(stderr, "echo_grpc_queue: set-up failed\n");
        return 1;
    }
    printf("listening on %d\n", port);
    fflush(stdout);
    std::vector<std::thread> threads;
    for (auto &queue : queues) {
        threads.emplace_back(Serve, &service, queue.get());
    }
    for (auto &thread : threads) {
        thread.join();
    }
    return 0;
}
