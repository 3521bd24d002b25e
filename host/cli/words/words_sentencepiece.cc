/*
 * SentencePiece's C++ behind three C functions; compiled only where the library was found. Knows nothing of this program.
 * Nothing may be thrown through C, so everything is caught here.
 */
#include <sentencepiece_processor.h>

#include <memory>
#include <string>
#include <vector>

extern "C" {
void *attn_sentencepiece_open(const char *bytes, long long size);
void attn_sentencepiece_close(void *model);
int attn_sentencepiece_cut(void *model, const char *sentence, long long length,
                           int (*take)(void *user, const char *piece, long long length), void *user);
}

void *attn_sentencepiece_open(const char *bytes, long long size) {
    try {
        std::unique_ptr<sentencepiece::SentencePieceProcessor> model(new sentencepiece::SentencePieceProcessor);
        std::string all(bytes, static_cast<size_t>(size));
        return model->LoadFromSerializedProto(all).ok() ? model.release() : nullptr;
    } catch (...) {
        return nullptr;
    }
}

void attn_sentencepiece_close(void *model) {
    delete static_cast<sentencepiece::SentencePieceProcessor *>(model);
}

int attn_sentencepiece_cut(void *model, const char *sentence, long long length,
                           int (*take)(void *user, const char *piece, long long length), void *user) {
    try {
        std::vector<std::string> pieces;
        std::string text(sentence, static_cast<size_t>(length));
        if (!static_cast<sentencepiece::SentencePieceProcessor *>(model)->Encode(text, &pieces).ok()) {
            return -1;
        }
        for (const std::string &piece : pieces) {
            int status = take(user, piece.data(), static_cast<long long>(piece.size()));
            if (status != 0) {
                return status;
            }
        }
        return 0;
    } catch (...) {
        return -1;
    }
}
