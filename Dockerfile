# Build: docker build -t imgdup .
# Run:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/photos:/photos" imgdup index /photos
FROM python:3.13-slim AS build
COPY . /source
RUN pip install --no-cache-dir --prefix /installed '/source[heif]'

FROM python:3.13-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home user
USER user
WORKDIR /photos
ENTRYPOINT ["imgdup"]
