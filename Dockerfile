# Build: docker build -t imgdup .
#        docker build --build-arg EXTRAS='[heif]' -t imgdup .     (with HEIC, 27 MB more)
# Run:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/photos:/photos" imgdup index /photos
FROM python:3.13-slim AS build
ARG EXTRAS=""
COPY . /source
RUN pip install --no-cache-dir --prefix /installed "/source${EXTRAS}" \
    && find /installed -type d -name tests -prune -exec rm -r {} +

FROM python:3.13-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home user
USER user
WORKDIR /photos
ENTRYPOINT ["imgdup"]
