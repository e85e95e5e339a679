// SPDX-License-Identifier: Apache-2.0
// peer.h: what client and server of the other implementation share: flags as the official interop
// programs have them, payloads, and the flag of a message that says whether it came compressed.
#ifndef OAK_INTEROP_PEER_H
#define OAK_INTEROP_PEER_H

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include <test.grpc.pb.h>

// Exported by libgrpc for its own interop programs. No header of it declares them.
uint32_t grpc_call_test_only_get_message_flags(grpc_call *call);

namespace grpc
{
namespace testing
{

// The last message received had been compressed: the flag before and after it was inflated.
inline bool FlagsSayCompressed(grpc_call *call)
{
    return (grpc_call_test_only_get_message_flags(call) & 0xc0000000u) != 0;
}

// Friends of the contexts by these names.
class InteropClientContextInspector
{
  public:
    static bool WasCompressed(const ClientContext &context)
    {
        return FlagsSayCompressed(context.call_);
    }
};

class InteropServerContextInspector
{
  public:
    static bool WasCompressed(const ServerContextBase &context)
    {
        return FlagsSayCompressed(context.call_.call);
    }
};

} // namespace testing
} // namespace grpc

namespace peer
{

[[noreturn]] inline void Fail(const std::string &text)
{
    std::cerr << "failed: " << text << std::endl;
    std::_Exit(1);
}

inline void Check(bool holds, const std::string &text)
{
    if (!holds) {
        Fail(text);
    }
}

// "--name=value", "--name value", and "--name" alone for what is true or false.
class Flags
{
  public:
    Flags(int argc, char **argv)
    {
        for (int i = 1; i < argc; i++) {
            std::string word = argv[i];
            Check(word.compare(0, 2, "--") == 0, "not a flag: " + word);
            size_t equals = word.find('=');
            if (equals != std::string::npos) {
                values_[word.substr(2, equals - 2)] = word.substr(equals + 1);
            } else if (i + 1 < argc && argv[i + 1][0] != '-') {
                values_[word.substr(2)] = argv[++i];
            } else {
                values_[word.substr(2)] = "true";
            }
        }
    }
    std::string Text(const std::string &name, const std::string &otherwise) const
    {
        auto found = values_.find(name);
        return found == values_.end() ? otherwise : found->second;
    }
    int Number(const std::string &name, int otherwise) const
    {
        return std::stoi(Text(name, std::to_string(otherwise)));
    }
    bool True(const std::string &name) const
    {
        return Text(name, "false") == "true";
    }

  private:
    std::map<std::string, std::string> values_;
};

inline std::string ReadFile(const std::string &path)
{
    std::ifstream file(path);
    Check(file.good(), "cannot read " + path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void Fill(grpc::testing::Payload *payload, int size)
{
    payload->set_type(grpc::testing::COMPRESSABLE);
    payload->set_body(std::string(static_cast<size_t>(size), '\0'));
}

const char kEchoInitial[] = "x-grpc-test-echo-initial";
const char kEchoTrailing[] = "x-grpc-test-echo-trailing-bin";

} // namespace peer

#endif
